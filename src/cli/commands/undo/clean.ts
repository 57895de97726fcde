import type { Command } from "commander";
import { BackupNotFoundError } from "../../../errors.ts";
import type { BackupInfo } from "../../../guard/manager-options.ts";
import { counted } from "../../../util/format.ts";
import { momentArgument } from "../../arguments.ts";
import { type ConfirmOptions, confirmOptions, newCommand } from "../../command.ts";
import { confirm } from "../../confirm.ts";
import type { Answer, Context } from "../../context.ts";
import { handle } from "../../handle.ts";
import { UsageError } from "../../usage-error.ts";
import { type BackupDirOption, backupDirOption, backupTable, openManager } from "./backups.ts";

interface Options extends ConfirmOptions, BackupDirOption {
  readonly all?: boolean;
  readonly before?: Date;
}

export function undoCleanCommand(): Command {
  const command = newCommand("clean", {
    summary: "Remove the guard's backups and their files.",
    description:
      "Removes backups of the guard and their files. Asks first. Backups of running and interrupted writes stay: they are needed.",
    examples: [
      "undo clean data/lancedb-table backup_1795250642",
      "undo clean data/lancedb-table --all --before 7d",
    ],
    json: "{ dryRun, removed: [<id>] }",
  })
    .argument("<database>", "The database's directory.")
    .argument("[id...]", "The backups' ids.")
    .addOption(backupDirOption())
    .option("--all", "All backups that are ready or kept.")
    .option("--before <moment>", "With --all: only older ones, such as 7d or a date.", momentArgument);
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(context: Context, database: string, ids: string[], options: Options): Promise<Answer> {
  if (ids.length > 0 === (options.all ?? false))
    throw new UsageError("Which backups? Name their ids, or --all.");
  await using manager = await openManager(context, database, options);
  const chosen = choose(await manager.listBackups(), ids, options.before);
  const removed = chosen.map(({ id }) => id);
  if (chosen.length === 0)
    return { json: { dryRun: options.dryRun ?? false, removed }, text: "There is none to remove." };
  const plan = `${backupTable(context.terminal, chosen)}\n${counted(chosen.length, "backup")} to remove.`;
  if (options.dryRun) return { json: { dryRun: true, removed }, text: plan };
  await confirm(context, options.yes, plan, "Remove?");
  context.interrupt.describe("Some of the backups may be gone; undo list shows the rest.");
  for (const id of removed) {
    context.signal.throwIfAborted();
    await manager.cleanupBackup(id);
  }
  return { json: { dryRun: false, removed }, text: `Removed ${removed.join(", ")}.` };
}

function choose(
  backups: readonly BackupInfo[],
  ids: readonly string[],
  before: Date | undefined,
): BackupInfo[] {
  const missing = ids.find((id) => !backups.some((backup) => backup.id === id));
  if (missing !== undefined) {
    throw new BackupNotFoundError(
      missing,
      `There is no backup "${missing}": undo list shows those that are.`,
    );
  }
  return backups.filter(({ id, state, createdAt }) => {
    if (before !== undefined && createdAt >= before) return false;
    return ids.length > 0 ? ids.includes(id) : state === "ready" || state === "kept";
  });
}
