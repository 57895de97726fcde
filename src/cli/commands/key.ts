import { Command } from "commander";
import type { KeySlot, RecoveryKey, RepositoryKey, RotationReport } from "../../repository/index.ts";
import { counted, formatBytes, formatTime } from "../../util/format.ts";
import { collect, parseNumber } from "../arguments.ts";
import {
  type ConfirmOptions,
  confirmOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
} from "../command.ts";
import { confirm } from "../confirm.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { newPassphrase, passphraseIn, printedBy } from "../key-options.ts";
import { openRepository } from "../open-repository.ts";
import { formatTable } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";
import { UsageError } from "../usage-error.ts";

const SLOT = "{ id, kind, epoch, createdAt }";

export function keyCommand(): Command {
  const command = new Command("key")
    .summary("List, add, remove and rotate the keys of an encrypted repository.")
    .description(
      "A repository can have several keys, and each of them opens it: a passphrase, an age identity, a key in AWS KMS. Each key has a slot in the repository. Adding and removing keys re-encrypts nothing. rotate makes a new master key, and rotate --rewrite encrypts everything again with it.",
    )
    .helpOption("-h, --help", "Show this help.")
    .helpCommand("help [command]", "Show the help of a command.");
  for (const each of [listCommand(), addCommand(), removeCommand(), rotateCommand()])
    command.addCommand(each);
  return command;
}

function listCommand(): Command {
  return newCommand("list", {
    summary: "List the keys of a repository.",
    description: "Lists the key slots of a repository. There are none if it is not encrypted.",
    examples: ["key list --repo ./vault"],
    json: `[${SLOT}]`,
  })
    .addOption(repositoryOption())
    .action(
      handle(async (context: Context, options: RepositoryOption): Promise<Answer> => {
        await using repository = await openRepository(context, options);
        const slots = await repository.keys.list();
        const text =
          slots.length === 0 ? "The repository is not encrypted." : tableOf(context.terminal, slots);
        return { json: slots, text };
      }),
    );
}

interface AddFlags extends RepositoryOption {
  readonly newPasswordFile?: string;
  readonly newPasswordCommand?: string;
  readonly ageRecipient?: readonly string[];
  readonly newKmsKey?: string;
  readonly newRecoveryKey?: boolean;
}

function addCommand(): Command {
  return newCommand("add", {
    summary: "Add a key to the repository.",
    description:
      "Adds a key. Without one of the options it asks for a new passphrase, twice. Nothing is re-encrypted.",
    examples: ["key add --repo ./vault", "key add --age-recipient age1… --repo ./vault"],
    json: "{ id, kind, epoch, createdAt, recoveryKey? }",
  })
    .addOption(repositoryOption())
    .option("--new-password-file <file>", "The new passphrase is in a file.")
    .option("--new-password-command <command>", "The new passphrase is what a command prints.")
    .option(
      "--age-recipient <recipient>",
      "An age recipient; several times: any of them opens the slot.",
      collect,
    )
    .option("--new-kms-key <arn>", "A key of AWS KMS.")
    .option("--new-recovery-key", "Make a key that is printed once, to be kept on paper.")
    .action(handle(add));
}

async function add(context: Context, options: AddFlags): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const key = await newKey(context, options);
  const slot = await repository.keys.add(key);
  const recoveryKey = "print" in key ? key.print() : undefined;
  const done = `Added the key slot ${slot.id} (${slot.kind}).`;
  const text =
    recoveryKey === undefined ? done : `${done}\nIts key, which is shown only once:\n${recoveryKey}`;
  return { json: { ...slot, ...(recoveryKey !== undefined && { recoveryKey }) }, done, text };
}

async function newKey(context: Context, options: AddFlags): Promise<RepositoryKey | RecoveryKey> {
  const { newPasswordFile: file, newPasswordCommand: command, ageRecipient: recipients } = options;
  const { newKmsKey: arn, newRecoveryKey: isRecovery } = options;
  if ([file, command, recipients, arn, isRecovery].filter((one) => one !== undefined).length > 1) {
    throw new UsageError("Name one new key at a time.");
  }
  const { passphrase, ageRecipients, awsKms, recoveryKey } = await import("../../repository/index.ts");
  if (isRecovery) return recoveryKey();
  if (arn !== undefined) return awsKms(arn);
  if (recipients) return ageRecipients(...recipients);
  if (file !== undefined) return passphrase(passphraseIn(file));
  if (command !== undefined) return passphrase(await printedBy(command, context.signal));
  return newPassphrase(context);
}

function removeCommand(): Command {
  return newCommand("remove", {
    summary: "Remove a key from the repository.",
    description:
      "Removes a key slot, but never the last one. Somebody who opened the repository with that key may have kept the master key: rotate locks them out of new data, and rotate --rewrite out of all data.",
    examples: ["key remove 3f2a9c0d1e4b5a67 --repo ./vault"],
    json: "{ removed: id, slots: [as in list] }",
  })
    .argument("<id>", "The slot, as the list names it.")
    .addOption(repositoryOption())
    .action(
      handle(async (context: Context, id: string, options: RepositoryOption): Promise<Answer> => {
        await using repository = await openRepository(context, options);
        await repository.keys.remove(id);
        const slots = await repository.keys.list();
        const text = `Removed the key slot ${id}. ${counted(slots.length, "slot")} left.`;
        return { json: { removed: id, slots }, done: text, text };
      }),
    );
}

interface RotateFlags extends RepositoryOption, ConfirmOptions {
  readonly rewrite?: boolean;
  readonly lockTimeout?: number;
}

function rotateCommand(): Command {
  const command = newCommand("rotate", {
    summary: "Make a new master key, and encrypt new data with it.",
    description:
      "Makes a new master key, and a slot for each key. All passphrases must be given: --password-file several times. Existing data stays as it is, and readable. With --rewrite it is read and encrypted again, and the old master keys are dropped. Backups may run meanwhile. If it is interrupted, the next run continues.",
    examples: ["key rotate --repo ./vault", "key rotate --rewrite --dry-run"],
    json: `{ dryRun, epoch, olderEpochs: [epoch], slots: [${SLOT}], rewritten?: { snapshots, blobs, bytes } }`,
  })
    .addOption(repositoryOption())
    .option("--rewrite", "Also encrypt existing data again.")
    .option("--lock-timeout <seconds>", "How long to wait for backups to end. Default 60.", parseNumber);
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(rotate));
}

async function rotate(context: Context, options: RotateFlags): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const { rewrite, dryRun, lockTimeout = 60, yes } = options;
  const request = { rewrite, lockTimeoutMs: lockTimeout * 1000, signal: context.signal };
  if (rewrite && !dryRun) {
    const plan = describe(await repository.keys.rotate({ ...request, dryRun: true }));
    await confirm(context, yes, plan, "Encrypt everything anew?");
    context.interrupt.describe(
      "Everything can still be read with the keys that it had. The next rotate --rewrite continues.",
    );
  }
  const report = await repository.keys.rotate({ ...request, dryRun });
  const text = describe(report);
  return { json: report, done: report.dryRun ? "" : text, text };
}

function describe({ dryRun, epoch, olderEpochs, slots, rewritten }: RotationReport): string {
  const begin = dryRun ? "It would be encrypted" : "It is encrypted";
  const lines = [
    `${begin} by the key of epoch ${epoch} from now on; ${counted(slots.length, "key")} ${slots.length === 1 ? "opens" : "open"} it.`,
  ];
  if (rewritten) {
    const { snapshots, blobs, bytes } = rewritten;
    const verb = dryRun ? "To encrypt anew" : "Encrypted anew";
    lines.push(
      `${verb}: ${counted(snapshots, "snapshot")}, ${counted(blobs, "blob")}, ${formatBytes(bytes)}.`,
    );
    if (!dryRun) lines.push("A prune removes the old copies after the grace period.");
  } else if (olderEpochs.length > 0) {
    lines.push("Existing data stays encrypted with the old master key; --rewrite encrypts it again.");
  }
  return lines.join("\n");
}

function tableOf(terminal: Terminal, slots: readonly KeySlot[]): string {
  return formatTable(
    terminal,
    [
      { title: "SLOT", value: ({ id }) => id, style: () => "cyan" },
      { title: "KIND", value: ({ kind }) => kind },
      { title: "EPOCH", value: ({ epoch }) => `${epoch}`, align: "right" },
      { title: "MADE", value: ({ createdAt }) => formatTime(createdAt), least: 11 },
    ],
    slots,
  );
}
