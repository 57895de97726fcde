import { type Command, Option } from "commander";
import type { Compression, EncryptionOptions } from "../../repository/index.ts";
import { schemeOf } from "../../storage/open-storage.ts";
import { collect } from "../arguments.ts";
import { newCommand, type RepositoryOption, repositoryOption } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { canAsk, namedKeys, newPassphrase, PASSWORD_VARIABLE } from "../key-options.ts";
import { namedRepository } from "../open-repository.ts";
import { commandLine } from "../output/command-line.ts";
import { assertPlace } from "../repository-place.ts";
import { UsageError } from "../usage-error.ts";

export function initCommand(): Command {
  return newCommand("init", {
    summary: "Make a repository.",
    description:
      "Makes an empty repository in a directory, or in a bucket (s3://bucket/prefix?region=eu-central-1, with credentials as the AWS SDK finds them). Put it on another disk than the databases, so that you cannot lose both at once.",
    examples: [
      "init ./vault",
      "init --repo /mnt/backups/vault",
      "init s3://my-bucket/backups?region=eu-central-1",
      "init ./vault --compression zstd:3",
      "init ./vault --encrypt --password-file ./passphrase",
    ],
    json: "{ location, id }",
  })
    .argument("[repository]", "The repository's directory or address; or --repo.")
    .addOption(repositoryOption())
    .addOption(
      new Option(
        "--compression <algorithm:level>",
        "Compression: zstd:1 to zstd:19, gzip:1 to gzip:9, or none. With compression the blobs of a local repository are not plain files.",
      ).argParser(parseCompression),
    )
    .option(
      "--encrypt",
      "Encrypt everything. The passphrase comes from --password-file, --password-command or LANCEDB_BACKUP_PASSWORD, or is asked for twice.",
    )
    .option("--no-encrypt", "Do not encrypt, not even in a bucket or on a server.")
    .option(
      "--age-recipient <recipient>",
      "Encrypt for an age recipient. May be given several times: any of them opens it.",
      collect,
    )
    .option(
      "--unsafe-no-exclusive",
      "Accept a store that cannot keep two writers apart. Then only one process may write at a time.",
    )
    .action(handle(run));
}

interface InitFlags extends RepositoryOption {
  readonly compression?: Compression;
  /** False with `--no-encrypt`. */
  readonly encrypt?: boolean;
  readonly ageRecipient?: readonly string[];
  readonly unsafeNoExclusive?: boolean;
}

/** `zstd:3`, `gzip`, `none`. What is wrong with it the library says. */
function parseCompression(text: string): Compression {
  const [, algorithm = "", level] = /^([a-z]+)(?::([0-9]+))?$/.exec(text) ?? [];
  return {
    algorithm: (algorithm === "" ? text : algorithm) as Compression["algorithm"],
    ...(level !== undefined && { level: Number(level) }),
  };
}

/**
 * What a new repository is encrypted by; undefined: it is not.
 *
 * @throws UsageError where it is elsewhere, and nobody has said whether; where there is no key and nobody to ask for one.
 */
async function encryptionFor(
  context: Context,
  { encrypt, ageRecipient }: InitFlags,
  isLocal: boolean,
): Promise<EncryptionOptions | undefined> {
  const { ageRecipients, passphrase } = await import("../../repository/index.ts");
  const password = context.env[PASSWORD_VARIABLE];
  const keys = await namedKeys(context);
  if (ageRecipient) keys.push(ageRecipients(...ageRecipient));
  if (password) keys.push(passphrase(password));
  if (encrypt === false) {
    if (keys.length === 0 || password) return undefined;
    throw new UsageError("With --no-encrypt there is no key: leave one of the two out.");
  }
  if (keys.length > 0) return { keys };
  if (encrypt !== true && isLocal) return undefined;
  if (canAsk(context)) return { keys: [await newPassphrase(context)] };
  if (encrypt === true) {
    throw new UsageError(
      "There is no terminal to ask for a passphrase on: --encrypt needs --password-file, --password-command, --age-recipient or --kms-key.",
    );
  }
  throw new UsageError(
    "Whoever runs that store can read an unencrypted repository. Give a key (--password-file, --password-command, --age-recipient, --kms-key), or say --no-encrypt.",
  );
}

async function run(context: Context, path: string | undefined, options: InitFlags): Promise<Answer> {
  const { Repository } = await import("../../repository/index.ts");
  const location = namedRepository(context, path, options);
  const isLocal = schemeOf(location) === undefined;
  if (isLocal) assertPlace(location, context);
  const { id, location: place } = await Repository.init(location, {
    logger: context.logger,
    audit: context.options.audit,
    compression: options.compression,
    encryption: await encryptionFor(context, options, isLocal),
    unsafeNoExclusive: options.unsafeNoExclusive ?? false,
  });
  const named = isLocal ? place : location;
  return {
    json: { location: place, id },
    done: `A repository was made at ${place}.`,
    text: `Made a repository at ${place}.\nNext: ${commandLine("backup", "<database>", "--repo", named)}`,
  };
}
