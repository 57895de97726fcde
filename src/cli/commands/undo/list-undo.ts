import type { Command } from "commander";
import { newCommand } from "../../command.ts";
import type { Answer, Context } from "../../context.ts";
import { handle } from "../../handle.ts";
import { type BackupDirOption, backupDirOption, backupTable, openManager } from "./backups.ts";

export function undoListCommand(): Command {
  return newCommand("list", {
    summary: "List the guard's backups of a database, oldest first.",
    description:
      'Lists the guard\'s backups, oldest first. State "ready": waits for restore or clean. "kept": left by a write that could not be rolled back. "active": a write that is under way. "interrupted": its process died; recover rolls it back.',
    examples: ["undo list data/lancedb-table"],
    json: `[{ id, path, strategy, createdAt, tables, sizeBytes, state }], oldest first`,
  })
    .argument("<database>", "The database's directory.")
    .addOption(backupDirOption())
    .action(handle(run));
}

async function run(context: Context, database: string, options: BackupDirOption): Promise<Answer> {
  await using manager = await openManager(context, database, options);
  const backups = await manager.listBackups();
  const none = "There is no backup of this database.";
  return { json: backups, text: backups.length > 0 ? backupTable(context.terminal, backups) : none };
}
