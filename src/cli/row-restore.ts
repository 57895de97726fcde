import { readFileSync } from "node:fs";
import { reasonOf } from "../fs/io.ts";
import type { RestoredRows } from "../rows/restore-rows.ts";
import { counted, formatCount } from "../util/format.ts";
import { printable } from "../util/printable.ts";
import { type ConfirmOptions, type RepositoryOption, type SourceOption, sourceFrom } from "./command.ts";
import { confirm } from "./confirm.ts";
import type { Answer, Context } from "./context.ts";
import { assertDatabase, pathOf } from "./database-argument.ts";
import { openRepository } from "./open-repository.ts";
import { UsageError } from "./usage-error.ts";

export interface RowOptions extends RepositoryOption, SourceOption, ConfirmOptions {
  readonly table?: string[];
  readonly rows?: string;
  readonly keys?: string;
  readonly key?: string;
  readonly at?: Date;
  readonly verify: boolean;
}

/** Brings rows of a snapshot back into a live table; it shows first how many there are, and asks. */
export async function restoreRows(
  context: Context,
  wanted: string,
  database: string,
  options: RowOptions & Readonly<Record<string, unknown>>,
): Promise<Answer> {
  const [table, ...others] = options.table ?? [];
  if (table === undefined || others.length > 0)
    throw new UsageError("--rows and --keys need exactly one --table.");
  for (const flag of ["inPlace", "as", "link", "part", "tableVersion", "path"]) {
    if (options[flag] !== undefined && options[flag] !== false) {
      const dashed = flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      throw new UsageError(`--rows and --keys put rows into a live table: leave --${dashed} out.`);
    }
  }
  assertDatabase(database);
  await using repository = await openRepository(context, options);
  const { BackupManager } = await import("../guard/backup-manager.ts");
  const { restoreRowsWithBackup } = await import("../rows/restore-rows.ts");
  await using manager = new BackupManager({ uri: pathOf(database), logger: context.logger });
  const path = table.split("$");
  const request = {
    ...{ manager, table: path.at(-1) ?? table, namespacePath: path.slice(0, -1) },
    ...{ rows: options.rows, keys: options.keys === undefined ? undefined : keysIn(options.keys) },
    ...{ key: options.key, at: options.at, source: sourceFrom(options), signal: context.signal },
  };
  const planned = await restoreRowsWithBackup(repository, wanted, { ...request, dryRun: true });
  const plan = describe(planned, database);
  if (options.dryRun) return { json: planned, text: `${plan} (dry run)` };
  if (planned.added + planned.changed > 0) await confirm(context, options.yes, plan, "Restore them?");
  context.interrupt.describe("Either the table is as it was, or all of the rows are there.");
  // The one that was asked about, whatever is taken meanwhile.
  const { verify } = options;
  const done = await restoreRowsWithBackup(repository, planned.snapshot, { ...request, verify });
  const text = `${counted(done.added, "row")} added to ${printable(table)}, ${formatCount(done.changed)} changed, ${formatCount(done.same)} as they were, from snapshot ${done.snapshot}; it is at version ${done.version}.`;
  return { json: done, text, done: text };
}

function describe({ snapshot, table, added, changed, same }: RestoredRows, database: string): string {
  return `Rows of snapshot ${snapshot} into table ${printable(table)} of ${printable(database)}: ${formatCount(added)} to add, ${formatCount(changed)} to change, ${formatCount(same)} the same.`;
}

/** A list in JSON, or a key a line: numbers where every line is one that a double holds. @throws UsageError */
function keysIn(file: string): unknown[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`The file ${file} cannot be read: ${reasonOf(error)}`);
  }
  if (text.trimStart().startsWith("[")) {
    try {
      return JSON.parse(text) as unknown[];
    } catch (error) {
      throw new UsageError(
        `The file ${file} looks like a JSON list, but is not a valid one: ${reasonOf(error)}`,
      );
    }
  }
  const lines = text.split(/\r?\n/).filter((line) => line !== "");
  if (lines.length === 0) throw new UsageError(`The file ${file} has no key.`);
  const isNumber = (line: string) => /^-?(0|[1-9]\d*)$/.test(line);
  if (!lines.every(isNumber)) return lines;
  return lines.map((line) => (Number.isSafeInteger(Number(line)) ? Number(line) : BigInt(line)));
}
