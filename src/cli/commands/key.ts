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
import { newPassphrase, printedBy, secretIn } from "../key-options.ts";
import { openRepository } from "../open-repository.ts";
import { formatTable } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";
import { UsageError } from "../usage-error.ts";

const SLOT = "{ id, kind, epoch, createdAt }";

export function keyCommand(): Command {
  const command = new Command("key")
    .summary("List, add, remove and rotate the keys of an encrypted repository.")
    .description(
      "A repository is opened by any one of its keys: passphrases, age recipients, keys of AWS KMS. Each has a slot in the repository. Keys come and go without anything being encrypted anew; rotate makes a new master, and with --rewrite encrypts everything by it.",
    )
    .helpOption("-h, --help", "Show this help.")
    .helpCommand("help [command]", "Show the help of a command.");
  for (const each of [listCommand(), addCommand(), removeCommand(), rotateCommand()])
    command.addCommand(each);
  return command;
}

function listCommand(): Command {
  return newCommand("list", {
    summary: "List what opens the repository.",
    description: "Lists the key slots of a repository: none where it is not encrypted.",
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
    summary: "Let another key open the repository.",
    description:
      "Makes a slot for another key; without one of the options a new passphrase is asked for, twice. Nothing is encrypted anew.",
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
    recoveryKey === undefined ? done : `${done}\nIts key, which is shown this once:\n${recoveryKey}`;
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
  if (file !== undefined) return passphrase(secretIn(file));
  if (command !== undefined) return passphrase(printedBy(command));
  return newPassphrase(context);
}

function removeCommand(): Command {
  return newCommand("remove", {
    summary: "Take a key its slot.",
    description:
      "Removes a key slot; the last one stays. Who has opened the repository by it may have kept what was in it: rotate locks them out of what is written from then on, and rotate --rewrite of all that is there.",
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
    summary: "Make a new master key, and encrypt by it from now on.",
    description:
      "Makes a new master and a slot of it for each key: of passphrases all must be given, with --password-file several times. What is there stays as it is and readable; with --rewrite it is read and encrypted anew, and the keys before are dropped. Backups may run meanwhile. Interrupted in any way, the next run goes on.",
    examples: ["key rotate --repo ./vault", "key rotate --rewrite --dry-run"],
    json: `{ dryRun, epoch, olderEpochs: [epoch], slots: [${SLOT}], rewritten?: { snapshots, blobs, bytes } }`,
  })
    .addOption(repositoryOption())
    .option("--rewrite", "Encrypt anew also what is there.")
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
      "Everything is readable by the keys that it was. The next rotate --rewrite goes on.",
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
    if (!dryRun) lines.push("What was there before is removed by a prune after the grace period.");
  } else if (olderEpochs.length > 0) {
    lines.push("What was there before stays encrypted by the keys before; --rewrite encrypts it anew.");
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
