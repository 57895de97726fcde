import { Command, Option } from "commander";
import type { AuditMode } from "../repository/index.ts";
import { manifest } from "../util/build-facts.ts";
import { auditCommand } from "./commands/audit.ts";
import { backupCommand } from "./commands/backup.ts";
import { checkCommand } from "./commands/check.ts";
import { completionCommand } from "./commands/completion.ts";
import { copyCommand } from "./commands/copy.ts";
import { deleteCommand } from "./commands/delete.ts";
import { diffCommand } from "./commands/diff.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { infoCommand } from "./commands/info.ts";
import { initCommand } from "./commands/init.ts";
import { keyCommand } from "./commands/key.ts";
import { listCommand } from "./commands/list.ts";
import { pageCommand } from "./commands/page.ts";
import { pinCommand, unpinCommand } from "./commands/pin.ts";
import { policyCommand } from "./commands/policy/policy.ts";
import { pruneCommand } from "./commands/prune.ts";
import { recoverCommand } from "./commands/recover.ts";
import { reportCommand } from "./commands/report.ts";
import { restoreCommand } from "./commands/restore.ts";
import { runCommand } from "./commands/run.ts";
import { scrubCommand } from "./commands/scrub.ts";
import { statsCommand } from "./commands/stats.ts";
import { statusCommand } from "./commands/status.ts";
import { tagCommand } from "./commands/tag.ts";
import { undoCommand } from "./commands/undo/undo.ts";
import { unlockCommand } from "./commands/unlock.ts";
import { verifyCommand } from "./commands/verify.ts";
import { EXIT_CODES_HELP } from "./exit-codes.ts";
import { keyOptions } from "./key-options.ts";

const DESCRIPTION = `Verified, deduplicated backups of LanceDB databases, and a way back.

A repository is a directory that keeps snapshots of databases, best on another disk. Make one, back up into it, and restore any snapshot, or any moment in it. What guarded writes left behind is shown by undo and rolled back by recover.`;

const EXAMPLES = `
Examples:
  lancedb-backup init ./vault
  lancedb-backup backup data/lancedb-table --repo ./vault
  lancedb-backup list --repo ./vault
  lancedb-backup restore latest ./restored --repo ./vault
  lancedb-backup doctor data/lancedb-table --repo ./vault`;

/** In the order of the help text. */
const COMMANDS = [
  initCommand,
  backupCommand,
  listCommand,
  infoCommand,
  verifyCommand,
  checkCommand,
  restoreCommand,
  diffCommand,
  pinCommand,
  unpinCommand,
  tagCommand,
  deleteCommand,
  pruneCommand,
  statsCommand,
  copyCommand,
  keyCommand,
  scrubCommand,
  unlockCommand,
  auditCommand,
  recoverCommand,
  undoCommand,
  doctorCommand,
  reportCommand,
  runCommand,
  statusCommand,
  policyCommand,
  pageCommand,
  completionCommand,
];

/** The whole command line. Nothing heavy is loaded before a command runs. */
export function buildProgram(): Command {
  const program = new Command("lancedb-backup")
    .description(DESCRIPTION)
    .version(manifest.version, "-V, --version", "Show the version.")
    .helpOption("-h, --help", "Show this help.")
    .helpCommand("help [command]", "Show the help of a command.")
    .option("--json", "Print one JSON value on standard output, and nothing else.")
    .option("-q, --quiet", "Show no progress.")
    .option("-v, --verbose", "Log every step; for errors, show the stack and causes.")
    .option("--no-color", "No colours. (The same as NO_COLOR. Without a terminal there are none.)")
    .option("--read-only", "Open repositories for reading only; nothing is written to them.")
    .addOption(
      new Option(
        "--audit <what>",
        "What to record in the repository's audit log: all, off, or auto (all, but in a store no successful backups). Default: LANCEDB_BACKUP_AUDIT, or auto.",
      ).choices(["auto", "all", "off"] satisfies AuditMode[]),
    )
    .addHelpText("after", `${EXAMPLES}\n\n${EXIT_CODES_HELP}`);
  for (const option of keyOptions()) program.addOption(option);
  for (const make of COMMANDS) program.addCommand(make());
  for (const command of allCommands(program)) {
    command
      .configureHelp({ showGlobalOptions: true })
      .exitOverride()
      // What is wrong is told by main, in one way for all errors.
      .configureOutput({ outputError: () => undefined });
  }
  return program;
}

/** A command and those below it. */
export function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}
