import { type Command, Option } from "commander";
import type { BackupForecast, BackupOptions } from "../../repository/index.ts";
import { counted, formatBytes, formatCount, formatDuration } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { collect, parseCount, parseFraction, parseNumber } from "../arguments.ts";
import { backupFailure } from "../backup-failure.ts";
import {
  type LimitOptions,
  limitOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
} from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { displayOf } from "../progress-display.ts";
import { recoverFirst } from "../recover-first.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends RepositoryOption, LimitOptions {
  readonly sourceId?: string;
  readonly name?: string;
  readonly description?: string;
  readonly tag?: string[];
  readonly table?: string[];
  readonly exclude?: string[];
  readonly excludeFrom?: string[];
  readonly crossMounts?: boolean;
  readonly format?: "sql" | "custom" | "directory" | "tar";
  readonly schema?: string[];
  readonly excludeSchema?: string[];
  readonly jobs?: number;
  readonly compact?: boolean;
  readonly timeLimit?: number;
  readonly onUnsupported?: "fail" | "leave-out";
  readonly latestOnly?: boolean;
  readonly allowEmpty?: boolean;
  readonly failOnShrink?: number | true;
  readonly lockTimeout?: number;
  readonly recover?: boolean;
  readonly dryRun?: boolean;
}

export function backupCommand(): Command {
  const command = newCommand("backup", {
    summary: "Take a snapshot of a database.",
    description:
      "Takes a snapshot of a database, also while others write to it. It waits for guarded writes and blocks nobody else. Data that the repository already has is not stored again. If it is interrupted, there is no snapshot, and the next run reuses what was stored. Exit code 4 if the snapshot lacks part of a table, such as a branch or a damaged older version.",
    examples: [
      "backup data/lancedb-table --repo ./vault",
      "backup data/lancedb-table --name nightly --tag keep --table documents",
      "backup data/vectors data/memories --repo ./vault",
      "backup data/lancedb-table --exclude 'cache_*' --dry-run",
    ],
    json: `The snapshot: { id, name?, description?, tags, source: { type, id, uri, host }, createdAt, taken?, durationMs, history,
files, bytes, newFiles, newBytes, storedBytes, parts: [{ source, files, bytes }], rows, tables: [{ id, directory, version, digest, versionCount, files, bytes,
rows, tags, leftOut, versions: [{ version, createdAt, rows }] }], leftOut?: [{ table, why, what }], software,
checksum, shrunk?: [{ table, rowsBefore, rows, isGone }], recovered?: entries as of recover }. With --dry-run: { dryRun, parts: [{ source,
before?, isForetold, known: { files, bytes }, read: { files, bytes } }], known, read, tables, leftOut, shrunk? }`,
  })
    .argument(
      "<database...>",
      "The database's directory, or the address of another source (docs/sources.md). Several are backed up together, at one moment.",
    )
    .addOption(repositoryOption())
    .option(
      "--source-id <id>",
      "The database's id from now on. Snapshots with the same id belong together. Default: a UUID that is kept in the database.",
    )
    .option(
      "--name <name>",
      "A name; restore and others then take it for the newest snapshot with that name.",
    )
    .option("--description <text>", "Anything.")
    .option("--tag <tag>", "A tag; may be given several times.", collect)
    .option("--table <id>", "Only this table (ns$table in a namespace); may be given several times.", collect)
    .option(
      "--exclude <pattern>",
      "Leave this table out; * stands for any characters and ? for one. Of files, a pattern as in .gitignore. May be given several times.",
      collect,
    )
    .option(
      "--exclude-from <file>",
      "Files: a file with patterns to leave out, one per line. May be given several times. A .backupignore in any directory works too.",
      collect,
    )
    .option("--cross-mounts", "Files: also what is mounted below the directory.")
    .addOption(
      new Option("--format <format>", "PostgreSQL: the format of the dump.").choices([
        "sql",
        "custom",
        "directory",
        "tar",
      ]),
    )
    .option("--schema <name>", "PostgreSQL: only this schema; may be given several times.", collect)
    .option("--exclude-schema <name>", "PostgreSQL: not this schema; may be given several times.", collect)
    .option("--jobs <count>", "Database servers: how many processes dump.", parseCount)
    .option("--compact", "SQLite: compact the copy, without free pages.")
    .option("--time-limit <seconds>", "Sources other than LanceDB: how long reading may take.", parseNumber)
    .addOption(
      new Option(
        "--on-unsupported <what>",
        "If a table cannot be backed up in full, such as a shallow clone: fail, or leave that table out.",
      )
        .choices(["fail", "leave-out"])
        .default("fail"),
    )
    .option("--latest-only", "Leave older versions of the tables out.")
    .option("--allow-empty", "Take a snapshot even if there is no table. (A wrong directory has none.)")
    .option(
      "--fail-on-shrink [part]",
      "Fail if a table is gone, or a table of 100 rows or more has lost more than half since the last snapshot. With a fraction such as 0.2 or 20%: if any table has lost more than that.",
      parseFraction,
    )
    .addOption(
      new Option("--lock-timeout <seconds>", "How long to wait for guarded writes, or a prune, to end.")
        .argParser(parseNumber)
        .default(30),
    )
    .option(
      "--recover",
      "First roll back what crashed processes left half-done, so that a nightly backup works after a crash.",
    )
    .option(
      "-n, --dry-run",
      "Show what would be read and left out. Writes nothing, neither to the repository nor to the database.",
    )
    .action(handle(run));
  for (const option of limitOptions()) command.addOption(option);
  return command;
}

/** Those that were given: an option that no source has is refused. */
function sourceOptionsFrom(options: Options): NonNullable<BackupOptions["sourceOptions"]> {
  const { excludeFrom, crossMounts, format, schema, excludeSchema, jobs, compact, timeLimit } = options;
  return {
    excludeFrom,
    oneFileSystem: crossMounts ? false : undefined,
    format,
    schemas: schema,
    excludeSchemas: excludeSchema,
    jobs,
    compact,
    timeoutMs: timeLimit === undefined ? undefined : timeLimit * 1000,
  };
}

function requestOf({ signal }: Context, databases: readonly string[], options: Options) {
  return {
    sources: databases,
    sourceId: options.sourceId,
    name: options.name,
    description: options.description,
    tags: options.tag ?? [],
    tables: options.table,
    exclude: options.exclude,
    sourceOptions: sourceOptionsFrom(options),
    onUnsupported: options.onUnsupported,
    history: options.latestOnly ? "latest" : "all",
    allowEmpty: options.allowEmpty ?? false,
    failOnShrink: options.failOnShrink ?? false,
    lockTimeoutMs: (options.lockTimeout ?? 30) * 1000,
    signal,
  } as const;
}

async function run(context: Context, databases: string[], options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  if (options.dryRun) {
    if (options.recover)
      throw new UsageError(
        "--recover writes, and --dry-run must not. Use recover --dry-run to see what would be rolled back.",
      );
    return foretold(await repository.backup({ ...requestOf(context, databases, options), dryRun: true }));
  }
  const recovered = options.recover ? await recoverFirst(context, databases) : [];
  context.interrupt.describe("No snapshot was made. The next backup reuses what was stored.");
  const progress = await displayOf(context);
  const snapshot = await repository
    .backup({ ...requestOf(context, databases, options), onProgress: progress.onProgress })
    .catch((error: unknown) => {
      throw backupFailure(error, databases.join(" "), repository.location);
    })
    .finally(progress.end);
  const { id, tables, leftOut = [], files, bytes, newFiles, newBytes, durationMs } = snapshot;
  const held = snapshot.parts.some(({ source }) => source.type === "lancedb");
  const size = `${held ? `${counted(tables.length, "table")}, ` : ""}${counted(files, "file")}, ${formatBytes(bytes)}`;
  const fresh = `new: ${counted(newFiles, "file")}, ${formatBytes(newBytes)}`;
  const line = `Snapshot ${context.terminal.style("bold", id)}: ${size} (${fresh}), in ${formatDuration(durationMs)}.`;
  const fewer = (snapshot.shrunk ?? []).map(fewerRows);
  const excluded = leftOut.filter(({ why }) => why === "excluded");
  const parts = tables.flatMap((table) => table.leftOut.map((what) => ({ table: table.id, what })));
  const missing = [...leftOut, ...parts].map(
    ({ table, what }) => `Not in the snapshot: ${printable(`${table}: ${what}`)}`,
  );
  return {
    json: recovered.length > 0 ? { ...snapshot, recovered } : snapshot,
    done: `Snapshot ${id} was made.`,
    text: [line, ...fewer, ...missing].join("\n"),
    // What was excluded is left out as was asked for.
    exitCode: missing.length > excluded.length ? EXIT.partly : EXIT.done,
  };
}

function foretold(forecast: BackupForecast): Answer {
  const { parts, known, read, tables, leftOut, shrunk = [] } = forecast;
  const lines = parts
    .filter(({ isForetold }) => !isForetold)
    .map(
      ({ source }) =>
        `${printable(source.uri)} is read in full each time; how much that is cannot be told beforehand.`,
    );
  const size = ({ files, bytes }: BackupForecast["read"]) =>
    `${counted(files, "file")}, ${formatBytes(bytes)}`;
  return {
    json: forecast,
    text: [
      `Would read ${size(read)}; at most that much is new. Known from the snapshot before: ${size(known)}. ${counted(tables.length, "table")}. (dry run)`,
      ...lines,
      ...shrunk.map(fewerRows),
      ...leftOut.map(({ table, what }) => `Not in the snapshot: ${printable(`${table}: ${what}`)}`),
    ].join("\n"),
    exitCode: leftOut.some(({ why }) => why !== "excluded") ? EXIT.partly : EXIT.done,
  };
}

function fewerRows({
  table,
  rowsBefore,
  rows,
  isGone,
}: NonNullable<BackupForecast["shrunk"]>[number]): string {
  return `Fewer rows than in the snapshot before: ${printable(table)} had ${formatCount(rowsBefore)} and ${isGone ? "is gone" : `has ${formatCount(rows)}`}.`;
}
