import { Command } from "commander";
import { undoCleanCommand } from "./clean.ts";
import { undoListCommand } from "./list-undo.ts";
import { undoRestoreCommand } from "./restore-undo.ts";

export function undoCommand(): Command {
  const command = new Command("undo")
    .summary("List, restore and remove the guard's own backups of a database.")
    .description(
      "The guard's backups are undo points beside a database: made by createBackup, or kept when a failed write could not be rolled back. They are links on the same disk, so they do not replace snapshots in a repository.",
    )
    .helpOption("-h, --help", "Show this help.")
    .helpCommand("help [command]", "Show the help of a command.");
  for (const each of [undoListCommand(), undoRestoreCommand(), undoCleanCommand()]) command.addCommand(each);
  return command;
}
