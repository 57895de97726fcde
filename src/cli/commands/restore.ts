import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { reasonOf } from "../../fs/io.ts";
import type { PartOptions, RestoreReport, RestoreTarget } from "../../repository/index.ts";
import type { RestoredRows } from "../../rows/restore-rows.ts";
import { counted, formatBytes, formatCount, formatDuration } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { withoutPassword } from "../../util/without-password.ts";
import { collect, momentArgument, parseCount, parseNumber } from "../arguments.ts";
import {
  A_SNAPSHOT,
  type ConfirmOptions,
  confirmOptions,
  type LimitOptions,
  limitOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
  type SourceOption,
  sourceFrom,
  sourceOption,
} from "../command.ts";
import { confirm } from "../confirm.ts";
import type { Answer, Context } from "../context.ts";
import { assertDatabase, pathOf } from "../database-argument.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { otherSource } from "../other-source.ts";
import { restorePlan } from "../output/restore-plan.ts";
import { displayOf } from "../progress-display.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends RepositoryOption, LimitOptions, SourceOption, ConfirmOptions {
  readonly targetUrl?: string;
  readonly path?: string[];
  readonly owner?: boolean;
  readonly jobs?: number;
  readonly part?: RestoreTarget[];
  readonly table?: string[];
  readonly as?: Record<string, string>;
  readonly rows?: string;
  readonly keys?: string;
  readonly key?: string;
  readonly at?: Date;
  readonly tableVersion?: Record<string, number>;
  readonly inPlace?: boolean;
  readonly otherSource?: boolean;
  readonly link?: boolean;
  readonly verify: boolean;
  readonly parallel?: number;
  readonly lockTimeout?: number;
}

export function restoreCommand(): Command {
  const command = newCommand("restore", {
    summary: "Restore a snapshot, into a new directory or in place.",
    description:
      "Restores a snapshot into a new directory, which appears whole or not at all. With --in-place it restores into a live database: each table goes back as a new version, history stays, and tables made since are left alone. It asks first, and warns if the snapshot is of another database. Every file is compared with its digest as it is written. With --at, latest or a name means the earliest snapshot, taken at that time or later, that has the contents of that time. --as restores tables under other names, in place beside the live ones. --rows and --keys bring rows of one table back into the live database: missing and changed rows, all or none; other rows stay. Exit code 4 if something was left out.",
    examples: [
      "restore latest ./restored --repo ./vault",
      'restore latest ./restored --at "2026-11-21 02:30" --table documents',
      "restore nightly data/lancedb-table --in-place --dry-run",
      "restore latest data/lancedb-table --in-place --as documents=documents_before",
      'restore latest data/lancedb-table --table documents --rows "id in (1, 2)" --dry-run',
    ],
    json: `{ snapshot, source: { type, id, uri, host }, target, mode: "new" or "in-place", dryRun, tables: [{ id, directory, restoredVersion, rows, files, bytes,
action, version?, passedOver }], files, bytes, leftOut: [{ table, what }], leftAlone, durationMs, parts?: with --part, the same of each }; of tables with another name also original. With --rows or --keys: { snapshot, table, dryRun, added, changed, same, version }`,
  })
    .argument("<id>", A_SNAPSHOT)
    .argument("[target]", "The directory: new or empty, or with --in-place a database.")
    .addOption(
      new Option(
        "--target-url <url>",
        "Instead of a target, for a snapshot of another kind of database: its address. If that holds a password, use the variable instead of an argument.",
      ).env("LANCEDB_BACKUP_TARGET_URL"),
    )
    .addOption(repositoryOption())
    .addOption(sourceOption())
    .addOption(
      new Option(
        "--part <part=target>",
        "For a snapshot of several sources: restore this part (its kind or source id) to this place. May be given several times, instead of a target.",
      ).argParser(collectPart),
    )
    .option("--table <id>", "Only this table; may be given several times.", collect)
    .addOption(
      new Option(
        "--as <table=name>",
        "Restore this table under another name, with --in-place beside the live one; may be given several times.",
      ).argParser(collectName),
    )
    .option(
      "--rows <filter>",
      'Only these rows of one --table, into the live database: a filter such as "id in (1, 2)".',
    )
    .option("--keys <file>", "The same by their keys: a file with one per line, or a JSON list.")
    .option("--key <column>", "For --rows and --keys: the key column. (default: id)")
    .option(
      "--path <path>",
      "Files: only this path, and what is below it; may be given several times.",
      collect,
    )
    .option("--owner", "Files: with their original owners, not the target's.")
    .option("--jobs <count>", "Database servers: how many processes restore.", parseCount)
    .option("--at <moment>", 'Each table as it was then: "2026-11-21 02:30", or 2h, 3d ago.', momentArgument)
    .addOption(
      new Option(
        "--table-version <table=number>",
        "This version of a table; may be given several times.",
      ).argParser(collectVersion),
    )
    .option("--in-place", "Restore into a live database, as new versions.")
    .option("--other-source", "With --in-place --yes: accept a snapshot of another database.")
    .option(
      "--link",
      "Restore by hard links to the repository's files: instant and without extra space, but shared with the repository.",
    )
    .option("--no-verify", "Do not compare files with their digests.")
    .option("--parallel <count>", "How many files to write at the same time.", parseCount)
    .addOption(
      new Option("--lock-timeout <seconds>", "In place: how long to wait for guarded writes to end.")
        .argParser(parseNumber)
        .default(30),
    );
  for (const option of limitOptions()) command.addOption(option);
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(
  context: Context,
  wanted: string,
  target: string | undefined,
  options: Options,
): Promise<Answer> {
  if (options.part) {
    if (target !== undefined) throw new UsageError("Give a target or --part, not both.");
    return restoreParts(context, wanted, options.part, options);
  }
  const place = target ?? options.targetUrl;
  if (options.rows !== undefined || options.keys !== undefined) {
    if (place === undefined) throw new UsageError("Say where to restore to: the live database.");
    return restoreRows(context, wanted, place, { ...options });
  }
  if (options.key !== undefined) throw new UsageError("--key is for --rows and --keys.");
  if (place === undefined)
    throw new UsageError("Say where to restore to: a directory, --target-url, or --part for each part.");
  return restoreOne(context, wanted, place, options);
}

async function restoreParts(
  context: Context,
  wanted: string,
  targets: readonly RestoreTarget[],
  options: Options,
): Promise<Answer> {
  if (options.inPlace) throw new UsageError("--part restores into new directories, not with --in-place.");
  await using repository = await openRepository(context, options);
  context.interrupt.describe("The parts that were restored are complete; the others are not there.");
  const progress = await displayOf(context);
  const report = await repository
    .restore(wanted, {
      ...{ targets, tables: options.table, as: options.as, at: options.at, versions: options.tableVersion },
      ...partOptions(options),
      ...{ link: options.link ?? false, verify: options.verify, parallel: options.parallel },
      ...{ dryRun: options.dryRun, signal: context.signal, onProgress: progress.onProgress },
    })
    .finally(progress.end);
  const codes = report.parts.map((part) => codeOf(part, options));
  const lines = report.parts.map((part) =>
    part.dryRun ? restorePlan(context.terminal, part) : done(context, part),
  );
  return {
    json: report,
    text: lines.join("\n"),
    exitCode: codes.includes(EXIT.partly) ? EXIT.partly : EXIT.done,
    done: `${counted(report.parts.length, "part")} of snapshot ${report.snapshot} were restored.`,
  };
}

async function restoreOne(
  context: Context,
  wanted: string,
  target: string,
  options: Options,
): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const { signal } = context;
  const settings = {
    target,
    source: sourceFrom(options),
    tables: options.table,
    as: options.as,
    at: options.at,
    versions: options.tableVersion,
    mode: options.inPlace ? "in-place" : "new",
    link: options.link ?? false,
    verify: options.verify,
    parallel: options.parallel,
    ...partOptions(options),
    lockTimeoutMs: (options.lockTimeout ?? 30) * 1000,
    signal,
  } as const;
  let id = wanted;
  if (options.dryRun || options.inPlace) {
    const planned = await repository.restore(wanted, { ...settings, dryRun: true });
    const warning = options.inPlace ? await otherSource(planned, target, options) : "";
    const plan = [restorePlan(context.terminal, planned), warning].filter(Boolean).join("\n");
    if (options.dryRun) return { json: planned, text: plan, exitCode: codeOf(planned, options) };
    id = planned.snapshot; // the one that was asked about, whatever is taken meanwhile
    await confirm(context, options.yes, plan, warning === "" ? "Restore?" : "Restore it anyway?");
  }
  context.interrupt.describe(
    options.inPlace
      ? "Tables that were already restored stay restored; the same command again finishes the rest."
      : "Nothing was restored: the target is as it was.",
    options.inPlace
      ? {}
      : {
          leftBehind: `An unfinished part may lie in a directory named .partial-… beside the target or in it. The next restore to ${withoutPassword(target)} removes it, or you can.`,
        },
  );
  const progress = await displayOf(context);
  const report = await repository
    .restore(id, { ...settings, onProgress: progress.onProgress })
    .finally(progress.end);
  return {
    json: report,
    text: done(context, report),
    exitCode: codeOf(report, options),
    done: `Snapshot ${report.snapshot} was restored to ${report.target}.`,
  };
}

/** Those that were given: a LanceDB database has none of them, and refuses them. */
function partOptions({ path, owner, jobs }: Options): PartOptions {
  const isAsked = owner !== undefined || jobs !== undefined;
  return {
    ...(path && { paths: path }),
    ...(isAsked && { targetOptions: { ...(owner && { owner }), ...(jobs !== undefined && { jobs }) } }),
  };
}

function done({ terminal }: Context, report: RestoreReport): string {
  const { snapshot, source, target, files, bytes, durationMs, tables } = report;
  const held = source.type === "lancedb" ? `${counted(tables.length, "table")}, ` : "";
  const size = `${held}${counted(files, "file")}, ${formatBytes(bytes)}`;
  const line = `Restored snapshot ${snapshot} to ${printable(target)}: ${size}, in ${formatDuration(durationMs)}; it was taken of ${printable(source.uri)}.`;
  const isPlain = report.mode === "new" && report.leftOut.length === 0;
  return isPlain ? line : `${restorePlan(terminal, report)}\n\n${line}`;
}

/** The entries of other tables in the list of namespaces are not missed where some tables alone were asked for. */
function codeOf({ leftOut, tables }: RestoreReport, { table: asked }: Options): ExitCode {
  const restored = new Set(tables.map(({ id }) => id));
  const missed = asked
    ? leftOut.filter(({ table }) => asked.includes(table) || restored.has(table))
    : leftOut;
  return missed.length > 0 ? EXIT.partly : EXIT.done;
}

function collectPart(value: string, before: RestoreTarget[] = []): RestoreTarget[] {
  const [, part = "", target] = /^([^=]+)=(.+)$/.exec(value) ?? [];
  if (target === undefined)
    throw new InvalidArgumentError("It must be a part and its target: lancedb=./restored.");
  return [...before, { part, target }];
}

function collectName(value: string, before: Record<string, string> = {}): Record<string, string> {
  const [, table = "", name] = /^([^=]+)=([^=]+)$/.exec(value) ?? [];
  if (name === undefined)
    throw new InvalidArgumentError("It must be a table and its new name: documents=documents_before.");
  return { ...before, [table]: name };
}

function collectVersion(value: string, before: Record<string, number> = {}): Record<string, number> {
  const [, table = "", version] = /^(.+)=(\d+)$/.exec(value) ?? [];
  if (version === undefined)
    throw new InvalidArgumentError("It must be a table and a version: documents=17.");
  return { ...before, [table]: Number(version) };
}

interface RowOptions extends RepositoryOption, SourceOption, ConfirmOptions {
  readonly table?: string[];
  readonly rows?: string;
  readonly keys?: string;
  readonly key?: string;
  readonly at?: Date;
  readonly verify: boolean;
}

/** Brings rows of a snapshot back into a live table; it shows first how many there are, and asks. */
async function restoreRows(
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
  const { BackupManager } = await import("../../guard/backup-manager.ts");
  const { restoreRowsWithBackup } = await import("../../rows/restore-rows.ts");
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
