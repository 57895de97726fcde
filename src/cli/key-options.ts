import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Option } from "commander";
import { isError } from "../fs/io.ts";
import type { RepositoryKey } from "../repository/index.ts";
import { collect } from "./arguments.ts";
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

/** What is wanted of a context to have keys. */
type KeyAsking = Pick<Context, "options" | "signal">;

/** The keys that options name; none where there are none. @throws UsageError where one cannot be had */
export async function namedKeys({ options, signal }: KeyAsking): Promise<RepositoryKey[]> {
  const {
    passwordFile = [],
    passwordCommand,
    ageIdentity: identities = [],
    recoveryKeyFile,
    kmsKey = [],
  }: KeyOptions = options;
  const { passphrase, ageIdentity, awsKms, parseRecoveryKey } = await import("../repository/index.ts");
  const keys: RepositoryKey[] = passwordFile.map((file) => passphrase(passphraseIn(file)));
  if (passwordCommand !== undefined) keys.push(passphrase(await printedBy(passwordCommand, signal)));
  for (const file of identities) keys.push(ageIdentity(textOf(file)));
  if (recoveryKeyFile !== undefined) keys.push(parseRecoveryKey(secretIn(recoveryKeyFile)));
  for (const arn of kmsKey) keys.push(awsKms(arn));
  return keys;
}

/** The keys of an encrypted repository: those that are named, that of the environment, or what is typed at the terminal. */
export async function keysToOpen(context: Context): Promise<RepositoryKey[]> {
  const named = await namedKeys(context);
  const password = context.env[PASSWORD_VARIABLE];
  const { passphrase } = await import("../repository/index.ts");
  if (password) named.push(passphrase(password));
  if (named.length > 0 || !canAsk(context)) return named;
  return [passphrase(await askSecret(context, "Passphrase of the repository"))];
}

/** The passphrase in a file. @throws UsageError */
export function passphraseIn(file: string): string {
  return oneLine(secretIn(file), `The file ${file} has`);
}

/** What is in a file, without the end of its line. @throws UsageError */
function secretIn(file: string): string {
  const secret = withoutLineEnd(textOf(file));
  if (secret === "") throw new UsageError(`The file ${file} is empty: it must hold a passphrase.`);
  return secret;
}

/**
 * The passphrase that a command prints. It may ask at the terminal, and take its time.
 *
 * @throws UsageError where it fails, or prints anything but one line. @throws the signal's reason.
 */
export async function printedBy(command: string, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const child = spawn(command, { shell: true, stdio: ["inherit", "pipe", "inherit"] });
  const { code, by, printed } = await new Promise<Printed>((resolve, reject) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const onAbort = () => {
      child.kill();
      child.stdout.destroy(); // what it has started may live on, and keep the pipe open
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    child.stdout.on("data", (piece: Buffer) => {
      bytes += piece.length;
      if (bytes <= MOST_PRINTED_BYTES) pieces.push(piece);
      else child.kill();
    });
    child.on("error", (error) =>
      reject(new UsageError(`The command for the passphrase could not be run: ${error.message}`)),
    );
    child.on("close", (code, by) => {
      signal.removeEventListener("abort", onAbort);
      resolve({ code, by, printed: bytes > MOST_PRINTED_BYTES ? undefined : Buffer.concat(pieces) });
    });
  });
  if (!printed) throw new UsageError("The command for the passphrase printed too much: one line is wanted.");
  if (code !== 0) {
    // Ctrl-C goes to both, and may be told of the command first.
    if (by === "SIGINT") await sleep(CTRL_C_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    const how = by === null ? `with the exit code ${code}` : `by the signal ${by}`;
    throw new UsageError(`The command for the passphrase ended ${how}.`);
  }
  const secret = withoutLineEnd(printed.toString("utf8"));
  if (secret === "") throw new UsageError("The command for the passphrase printed nothing.");
  return oneLine(secret, "The command for the passphrase printed");
}

interface Printed {
  readonly code: number | null;
  readonly by: NodeJS.Signals | null;
  /** Undefined where it was too much. */
  readonly printed: Buffer | undefined;
}

const MOST_PRINTED_BYTES = 1 << 20;
const CTRL_C_MS = 200;

/** Password stores print notes below the secret: with them it would be another passphrase, and one that nobody can type. */
function oneLine(secret: string, what: string): string {
  if (!/[\r\n]/.test(secret)) return secret;
  throw new UsageError(`${what} more than one line: a passphrase is one.`);
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

const [ENTER, LINE_FEED, CTRL_C, CTRL_D, CTRL_U] = ["\r", "\n", "\u0003", "\u0004", "\u0015"];
const BACKSPACES = new Set(["\u007f", "\b"]);

/** Whether somebody can be asked. */
export function canAsk({ screen }: Pick<Context, "screen">): boolean {
  return process.stdin.isTTY === true && screen.terminal.isTerminal;
}

/**
 * Asks for a secret at the terminal. What is typed is not shown.
 *
 * @throws UsageError where there is nobody to ask, or nothing is typed. @throws the signal's reason after Ctrl-C.
 */
async function askSecret(context: Context, question: string): Promise<string> {
  if (!canAsk(context)) throw new UsageError(`There is no terminal to ask on: ${question}`);
  context.screen.status("");
  const secret = await readHidden(context, question);
  if (secret === "") throw new UsageError("Nothing was typed.");
  return secret;
}

/** The same for a secret that is new: it is asked for twice. @throws UsageError where the two differ */
async function askNewSecret(context: Context, question: string): Promise<string> {
  const secret = await askSecret(context, question);
  if ((await askSecret(context, "Once more")) === secret) return secret;
  throw new UsageError("The two entries differ. Nothing was done.");
}

function readHidden({ interrupt, signal }: Context, question: string): Promise<string> {
  const { stdin } = process;
  return new Promise((resolve, reject) => {
    let typed = "";
    const end = (settle: () => void) => {
      stdin.off("data", onData);
      signal.removeEventListener("abort", onAbort);
      stdin.setRawMode(false);
      stdin.pause();
      process.stderr.write("\n");
      settle();
    };
    const onAbort = () => end(() => reject(signal.reason));
    const onData = (data: Buffer) => {
      for (const character of data.toString("utf8")) {
        if (character === CTRL_C) return interrupt.request(); // ends by the signal
        if (character === ENTER || character === LINE_FEED || character === CTRL_D)
          return end(() => resolve(typed));
        if (character === CTRL_U) typed = "";
        else if (BACKSPACES.has(character)) typed = [...typed].slice(0, -1).join("");
        else typed += character;
      }
    };
    stdin.setRawMode(true);
    process.stderr.write(`${question}: `); // not before: what is typed at once would be shown
    stdin.on("data", onData);
    signal.addEventListener("abort", onAbort, { once: true });
    stdin.resume();
  });
}
