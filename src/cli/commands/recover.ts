import type { Command } from "commander";
import type { RecoveryReport } from "../../guard/backup-manager.ts";
import { type ConfirmOptions, confirmOptions, newCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import type { Answer, Context } from "../context.ts";
import { assertDatabase } from "../database.ts";
import { EXIT } from "../exit-codes.ts";
import { UsageError } from "../failure.ts";
import { handle } from "../handle.ts";
import { restoredTables } from "../output/restored-tables.ts";
import { findingsText } from "./doctor.ts";

interface Options extends ConfirmOptions {
  readonly overwrite?: boolean;
  readonly keep?: boolean;
  readonly force?: boolean;
}

export function recoverCommand(): Command {
  const command = newCommand("recover", {
    summary: "Roll back what dead processes left half-done in a database.",
    description:
      "Rolls back guarded work whose process died, completes restores that were cut off, sweeps what was never finished, and moves damaged newest versions aside. The next guarded operation does the same by itself. Tables that others have committed to since are reported and left alone, unless --overwrite or --keep says what to do; then exit code 1.",
    examples: ["recover data/lancedb-table --dry-run", "recover data/lancedb-table --keep"],
    json: `{ entries: [{ id, action, backup?, tables: [{ table, action, version?, passedOver }], assumed?: [{ table,
versions }], conflicts: [{ table, versions }], error? }], healed: [{ table, damaged, openedAt }] }, where action is "rolled-back", "restored", "swept",
"kept", "held", "active", "conflict", "locked", "damaged" or "failed". With --dry-run: { dryRun, findings }, as of doctor`,
  })
    .argument("<database>", "The database's directory.")
    .option(
      "--overwrite",
      "Go back also where others have committed since; their versions stay reachable by number.",
    )
    .option("--keep", "Leave tables that others have committed to as they are, and keep the backup.")
    .option(
      "--force",
      "Take owners for dead of whom nothing can be known: on another host, in another container.",
    );
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(context: Context, database: string, options: Options): Promise<Answer> {
  const { overwrite, keep, force, dryRun, yes } = options;
  if (overwrite && keep) throw new UsageError("--overwrite and --keep exclude each other.");
  assertDatabase(database);
  if (dryRun) return foretell(context, database);
  if (overwrite || force) {
    const plan = [
      ...(overwrite ? ["Commits that others made since are passed over where they are in the way."] : []),
      ...(force ? ["Processes on other hosts that may be at work are taken for dead."] : []),
    ];
    await confirm(context, yes, `Recovery of ${database}. ${plan.join(" ")}`, "Go on?");
  }
  const { BackupManager } = await import("../../guard/backup-manager.ts");
  await using manager = new BackupManager({ uri: database, logger: context.logger });
  context.interrupt.describe("The next guarded operation, or recover, goes on where this ended.", {
    isStoppable: false,
  });
  const onConflict = overwrite ? "overwrite" : keep ? "keep" : undefined;
  const report = await manager.recover({ onConflict, force: force ?? false });
  const isOpen = report.entries.some(({ action }) => OPEN.has(action));
  return { json: report, text: describe(report), exitCode: isOpen ? EXIT.failed : EXIT.done };
}

/** Entries that wait for somebody's word. */
const OPEN: ReadonlySet<string> = new Set(["conflict", "locked", "damaged", "failed"]);

async function foretell(context: Context, database: string): Promise<Answer> {
  const { diagnose } = await import("../../doctor/diagnose.ts");
  const all = await diagnose({ uri: database, signal: context.signal });
  const findings = all.findings.filter(
    ({ check, level }) =>
      check === "journal" || check === "staging" || (check === "table" && level === "problem"),
  );
  return { json: { dryRun: true, findings }, text: findingsText(context.terminal, findings) };
}

const WORDS: Record<string, string> = {
  "rolled-back": "its process died; its tables are as before",
  restored: "a restore that was cut off is complete",
  swept: "nothing had to be put back",
  kept: "its backup is kept, and its tables are as they are",
  held: "a backup that waits for undo restore or undo clean",
  active: "its process is at work",
  conflict: "others have committed since; nothing was touched",
  locked: "whether its process lives cannot be known from here; --force takes it for dead",
  damaged: "its record cannot be read; nothing was touched",
  failed: "it could not be put back; it can be tried again",
};

function describe({ entries, healed }: RecoveryReport): string {
  const lines = entries.flatMap(({ id, action, tables, assumed = [], conflicts, error }) => [
    `${id}: ${WORDS[action] ?? action}.`,
    ...restoredTables(tables),
    ...assumed.map(
      ({ table, versions }) =>
        `  ${table}: versions ${versions.join(", ")} were taken for its own, by kind and time; look at them by number if another program was writing`,
    ),
    ...conflicts.map(
      ({ table, versions }) => `  ${table}: versions ${versions.join(", ")} are somebody else's`,
    ),
    ...(error && action !== "conflict" ? [`  ${error.message}`] : []),
  ]);
  for (const { table, damaged, openedAt } of healed) {
    lines.push(
      `${table}: damaged version ${damaged.join(", ")} moved aside; it opens at version ${openedAt}.`,
    );
  }
  return lines.length > 0 ? lines.join("\n") : "There was nothing to recover.";
}
