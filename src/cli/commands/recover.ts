import type { Command } from "commander";
import type { Finding } from "../../doctor/finding.ts";
import type { RecoveryReport } from "../../guard/backup-manager.ts";
import { printable } from "../../util/printable.ts";
import { type ConfirmOptions, confirmOptions, newCommand } from "../command.ts";
import { inCommandWords } from "../command-words.ts";
import { confirm } from "../confirm.ts";
import type { Answer, Context } from "../context.ts";
import { assertDatabase } from "../database-argument.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { commandLine } from "../output/command-line.ts";
import { findingsText } from "../output/findings-text.ts";
import { restoredTables } from "../output/restored-tables.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends ConfirmOptions {
  readonly overwrite?: boolean;
  readonly keep?: boolean;
  readonly force?: boolean;
}

export function recoverCommand(): Command {
  const command = newCommand("recover", {
    summary: "Roll back what crashed processes left half-done in a database.",
    description:
      "Rolls back guarded work of crashed processes, finishes interrupted restores, and removes leftovers. After asking, it also moves damaged newest versions aside; if a snapshot has them whole, scrub --heal brings them back instead. The next guarded operation does the same by itself. Tables that others have committed to since are reported and left alone (exit code 1), unless --overwrite or --keep says what to do.",
    examples: ["recover data/lancedb-table --dry-run", "recover data/lancedb-table --keep"],
    json: `{ entries: [{ id, action, backup?, tables: [{ table, action, version?, passedOver }], assumed?: [{ table,
versions }], conflicts: [{ table, versions }], error? }], healed: [{ table, damaged, openedAt }],
unreadable: [{ table, error }] }, where action is "rolled-back", "restored", "swept",
"kept", "held", "active", "conflict", "locked", "damaged" or "failed". With --dry-run: { dryRun, findings }, as of doctor`,
  })
    .argument("<database>", "The database's directory.")
    .option(
      "--overwrite",
      "Roll back even if others have committed since. Their versions stay reachable: by number, or below .lancedb-backup/aside/others if the table goes again.",
    )
    .option(
      "--keep",
      "Roll back nothing: leave all tables as they are, and keep the backups of unfinished work.",
    )
    .option(
      "--force",
      "Treat processes as dead if that cannot be checked from here: on another host, in another container. Never those that show signs of life.",
    );
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(context: Context, database: string, options: Options): Promise<Answer> {
  const { overwrite, keep, force, dryRun, yes } = options;
  if (overwrite && keep) throw new UsageError("--overwrite and --keep cannot be used together.");
  assertDatabase(database);
  if (dryRun) return foretell(context, database);
  if (!yes) await ask(context, database, options);
  const { BackupManager } = await import("../../guard/backup-manager.ts");
  await using manager = new BackupManager({ uri: database, logger: context.logger });
  context.interrupt.describe(
    "The next guarded operation, or the next recover, continues where this one stopped.",
    {
      isStoppable: false,
    },
  );
  const onConflict = overwrite ? "overwrite" : keep ? "keep" : undefined;
  const report = await manager.recover({ onConflict, force: force ?? false });
  const isOpen = report.unreadable.length > 0 || report.entries.some(({ action }) => OPEN.has(action));
  return { json: report, text: describe(report, database), exitCode: isOpen ? EXIT.failed : EXIT.done };
}

/** Entries that wait for somebody's word. */
const OPEN: ReadonlySet<string> = new Set(["conflict", "locked", "damaged", "failed"]);

/** Where it hides rows, or may take a living process for dead. */
async function ask(context: Context, database: string, { overwrite, force }: Options): Promise<void> {
  const findings = await findingsOf(context, database);
  if (!overwrite && !force && !findings.some(({ check }) => check === "manifest")) return;
  const plan = [
    findingsText(context.terminal, findings),
    `Recovery of ${database}.`,
    ...(overwrite
      ? [
          "Commits that others made since are rolled back where they are in the way; they stay reachable: by number, or below .lancedb-backup/aside/others where the table goes again.",
        ]
      : []),
    ...(force ? ["Processes on other hosts are treated as dead, even if they may be at work."] : []),
  ];
  await confirm(context, false, plan.join("\n"), "Go on?");
}

/** What a recovery is about. */
async function findingsOf(context: Context, database: string): Promise<readonly Finding[]> {
  const { diagnose } = await import("../../doctor/diagnose.ts");
  const { findings } = await diagnose({ uri: database, signal: context.signal });
  return findings.filter(
    ({ check, level }) =>
      ["journal", "staging", "manifest"].includes(check) || (check === "table" && level === "problem"),
  );
}

async function foretell(context: Context, database: string): Promise<Answer> {
  const findings = await findingsOf(context, database);
  return { json: { dryRun: true, findings }, text: findingsText(context.terminal, findings) };
}

const WORDS: Record<string, string> = {
  "rolled-back": "its process died; its tables are as before",
  restored: "a restore that was cut off is finished",
  swept: "nothing had to be rolled back",
  kept: "its backup is kept, and its tables are as they are",
  held: "a backup that waits for undo restore or undo clean",
  active: "its process is at work",
  conflict: "others have committed since; nothing was changed",
  locked: "it cannot be known from here whether its process is alive; --force treats it as dead",
  damaged: "its record cannot be read; nothing was changed",
  failed: "it could not be rolled back; it can be tried again",
};

function choices(database: string): string[] {
  return [
    `  ${commandLine("recover", database, "--overwrite")} rolls back anyway; their versions stay reachable: by number, or below .lancedb-backup/aside/others where the table goes again.`,
    `  ${commandLine("recover", database, "--keep")} leaves the tables as they are, and keeps the backup.`,
  ];
}

function describe({ entries, healed, unreadable }: RecoveryReport, database: string): string {
  const lines = entries.flatMap(({ id, action, tables, assumed = [], conflicts, error }) => [
    `${id}: ${WORDS[action] ?? action}.`,
    ...restoredTables(tables),
    ...assumed.map(
      ({ table, versions }) =>
        `  ${printable(table)}: versions ${versions.join(", ")} were taken for its own, by kind and time; look at them by number if another program was writing`,
    ),
    ...conflicts.map(
      ({ table, versions }) => `  ${printable(table)}: versions ${versions.join(", ")} are somebody else's`,
    ),
    ...(error && action !== "conflict" ? [`  ${printable(inCommandWords(error))}`] : []),
    ...(action === "conflict" ? choices(database) : []),
  ]);
  for (const { table, damaged, openedAt } of healed) {
    lines.push(
      `${printable(table)}: damaged version ${damaged.join(", ")} moved aside; it opens at version ${openedAt}.`,
    );
  }
  for (const { table, error } of unreadable) lines.push(`${printable(table)}: ${printable(error.message)}`);
  return lines.length > 0 ? lines.join("\n") : "There was nothing to recover.";
}
