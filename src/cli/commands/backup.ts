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
      "Takes a snapshot of a database while others write to it. It waits for guarded writes and holds up nobody else. What the repository has already is not stored again. Interrupted in any way it leaves no snapshot, and the next run uses what was stored. Exit code 4 where the snapshot lacks something of a table: a branch, an older version that is damaged.",
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
      "The database's directory, or the address of another source (docs/sources.md); several are taken together, at one moment.",
    )
    .addOption(repositoryOption())
    .option(
      "--source-id <id>",
      "The database's id from now on; by default a UUID that is kept in it, by which its snapshots belong together.",
    )
    .option("--name <name>", "A name by which the newest snapshot that has it is found.")
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
      "Of files: patterns to leave out, a line each. May be given several times; .backupignore in any directory is one, too.",
      collect,
    )
    .option("--cross-mounts", "Of files: also what is mounted below the directory.")
    .addOption(
      new Option("--format <format>", "Of a PostgreSQL database: how it is dumped.").choices([
        "sql",
        "custom",
        "directory",
        "tar",
      ]),
    )
    .option(
      "--schema <name>",
      "Of a PostgreSQL database: only this schema; may be given several times.",
      collect,
    )
    .option(
      "--exclude-schema <name>",
      "Of a PostgreSQL database: not this schema; may be given several times.",
      collect,
    )
    .option("--jobs <count>", "Of a database server: how many processes dump it.", parseCount)
    .option("--compact", "Of an SQLite database: written anew, without what is free in it.")
    .option(
      "--time-limit <seconds>",
      "Of what is no LanceDB database: how long reading it may take.",
      parseNumber,
    )
    .addOption(
      new Option(
        "--on-unsupported <what>",
        "Where a table cannot be backed up in full, as a shallow clone: no snapshot, or one without that table.",
      )
        .choices(["fail", "leave-out"])
        .default("fail"),
    )
    .option("--latest-only", "Leave older versions of the tables out.")
    .option("--allow-empty", "Take a snapshot also where there is no table; a wrong directory has none.")
    .option(
      "--fail-on-shrink [part]",
      "Fail where a table is gone, or has lost more than half of 100 rows or more since the snapshot before; with a part, such as 0.2 or 20%, more than that of however few.",
      parseFraction,
    )
    .addOption(
      new Option("--lock-timeout <seconds>", "How long to wait for guarded writes, or a prune, to end.")
        .argParser(parseNumber)
        .default(30),
    )
    .option(
      "--recover",
      "Roll back first what dead processes left half-done, so that a nightly backup outlives the crash of an application.",
    )
    .option(
      "-n, --dry-run",
      "Show what would be read and left out, and write nothing, neither in the repository nor in the database.",
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
      throw new UsageError("--recover writes, and --dry-run does not: recover --dry-run tells.");
    return foretold(await repository.backup({ ...requestOf(context, databases, options), dryRun: true }));
  }
  const recovered = options.recover ? await recoverFirst(context, databases) : [];
  context.interrupt.describe("No snapshot was made. What was stored serves the next backup.");
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
    .map(({ source }) => `${printable(source.uri)} is read anew each time; how much cannot be told before.`);
  const size = ({ files, bytes }: BackupForecast["read"]) =>
    `${counted(files, "file")}, ${formatBytes(bytes)}`;
  return {
    json: forecast,
    text: [
      `To be read: ${size(read)}, of which so much at most is new. Known from the snapshot before: ${size(known)}. ${counted(tables.length, "table")}. (dry run)`,
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
