import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Option } from "commander";
import { isError } from "../fs/io.ts";
import type { RepositoryKey } from "../repository/index.ts";
import { collect } from "./arguments.ts";
import { askNewSecret, askSecret, canAsk } from "./ask-secret.ts";
import type { Context, KeyOptions } from "./context.ts";
import { UsageError } from "./usage-error.ts";

/** The environment variable that holds the passphrase of repositories. */
export const PASSWORD_VARIABLE = "LANCEDB_BACKUP_PASSWORD";

export function keyOptions(): Option[] {
  return [
    new Option(
      "--password-file <file>",
      "Open encrypted repositories with the passphrase in a file. May be given several times: any may fit.",
    ).argParser(collect),
    new Option("--password-command <command>", "With the passphrase that a command prints."),
    new Option("--recovery-key-file <file>", "With the recovery key in a file, as it was printed."),
    new Option("--kms-key <arn>", "With a key in AWS KMS. May be given several times.").argParser(collect),
    new Option(
      "--age-identity <file>",
      "With the age identities in a file. May be given several times.",
    ).argParser(collect),
  ];
}

/** The keys that options name; none where there are none. @throws UsageError where one cannot be had */
export async function namedKeys(options: KeyOptions): Promise<RepositoryKey[]> {
  const {
    passwordFile = [],
    passwordCommand,
    ageIdentity: identities = [],
    recoveryKeyFile,
    kmsKey = [],
  } = options;
  const { passphrase, ageIdentity, awsKms, parseRecoveryKey } = await import("../repository/index.ts");
  const keys: RepositoryKey[] = passwordFile.map((file) => passphrase(secretIn(file)));
  if (passwordCommand !== undefined) keys.push(passphrase(printedBy(passwordCommand)));
  for (const file of identities) keys.push(ageIdentity(textOf(file)));
  if (recoveryKeyFile !== undefined) keys.push(parseRecoveryKey(secretIn(recoveryKeyFile)));
  for (const arn of kmsKey) keys.push(awsKms(arn));
  return keys;
}

/** The keys of an encrypted repository: those that are named, that of the environment, or what is typed at the terminal. */
export async function keysToOpen(context: Context): Promise<RepositoryKey[]> {
  const named = await namedKeys(context.options);
  const password = context.env[PASSWORD_VARIABLE];
  const { passphrase } = await import("../repository/index.ts");
  if (password) named.push(passphrase(password));
  if (named.length > 0 || !canAsk(context)) return named;
  return [passphrase(await askSecret(context, "Passphrase of the repository"))];
}

/** What is in a file, without the end of its line. @throws UsageError */
export function secretIn(file: string): string {
  const secret = withoutLineEnd(textOf(file));
  if (secret === "") throw new UsageError(`The file ${file} is empty: it must hold a passphrase.`);
  return secret;
}

/** What a command prints, without the end of its line. @throws UsageError */
export function printedBy(command: string): string {
  const { status, stdout, error } = spawnSync(command, {
    shell: true,
    encoding: "utf8",
    stdio: ["inherit", "pipe", "inherit"],
  });
  if (error) throw new UsageError(`The command for the passphrase could not be run: ${error.message}`);
  if (status !== 0)
    throw new UsageError(`The command for the passphrase ended with the exit code ${status}.`);
  const secret = withoutLineEnd(stdout);
  if (secret === "") throw new UsageError("The command for the passphrase printed nothing.");
  return secret;
}

/** A passphrase that is new: typed twice. @throws UsageError where there is nobody to ask */
export async function newPassphrase(context: Context): Promise<RepositoryKey> {
  const { passphrase } = await import("../repository/index.ts");
  return passphrase(await askNewSecret(context, "New passphrase"));
}

function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, "");
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`The file ${file} cannot be read: ${isError(error) ? error.message : error}`);
  }
}
