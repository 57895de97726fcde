import type { Command } from "commander";
import { BackupNotFoundError } from "../../../errors.ts";
import { printable } from "../../../util/printable.ts";
import { type ConfirmOptions, confirmOptions, newCommand } from "../../command.ts";
import { confirm } from "../../confirm.ts";
import type { Answer, Context } from "../../context.ts";
import { handle } from "../../handle.ts";
import { commandLine } from "../../output/command-line.ts";
import { restoredTables } from "../../output/restored-tables.ts";
import { type BackupDirOption, backupDirOption, backupTable, openManager } from "./backups.ts";

interface Options extends ConfirmOptions, BackupDirOption {
  readonly failOnConflict?: boolean;
}

export function undoRestoreCommand(): Command {
  const command = newCommand("restore", {
    summary: "Restore the tables of one of the guard's backups.",
    description:
      "Restores the tables of a backup, all or none, each as a new version. Asks first. History stays: commits made since are no longer current, but reachable by number. A table that did not exist then is removed. The backup stays; undo clean removes it.",
    examples: [
      "undo restore data/lancedb-table backup_1795250642",
      "undo restore data/lancedb-table latest --yes",
    ],
    json: `{ id, dryRun, tables: [{ table, action, version?, passedOver }] }; with --dry-run { id, dryRun, tables: [<id>] }`,
  })
    .argument("<database>", "The database's directory.")
    .argument("<id>", "The backup's id, or latest.")
    .addOption(backupDirOption())
    .option("--fail-on-conflict", "Refuse if anything was committed since the backup.");
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(context: Context, database: string, wanted: string, options: Options): Promise<Answer> {
  await using manager = await openManager(context, database, options);
  const backups = await manager.listBackups();
  const backup = wanted === "latest" ? backups.at(-1) : backups.find(({ id }) => id === wanted);
  if (!backup) {
    throw new BackupNotFoundError(
      wanted,
      `There is no backup "${wanted}" of ${database}: undo list shows those that are.`,
    );
  }
  const { id, tables } = backup;
  const plan = `${backupTable(context.terminal, [backup])}\nThe tables become as they were then, as new versions: ${printable(tables.join(", "))}.`;
  if (options.dryRun) return { json: { id, dryRun: true, tables }, text: plan };
  await confirm(context, options.yes, plan, "Restore it?");
  context.interrupt.describe(
    `${commandLine("recover", database)} finishes the restore, or finds nothing to do.`,
    {
      isStoppable: false,
    },
  );
  const result = await manager.restoreBackup(id, {
    onConflict: options.failOnConflict ? "fail" : "overwrite",
  });
  return {
    json: { id, dryRun: false, tables: result.tables },
    text: [`Restored ${id}:`, ...restoredTables(result.tables)].join("\n"),
  };
}
