import type { Command } from "commander";
import type { Snapshot, SnapshotFilter } from "../../repository/index.ts";
import { counted, formatBytes, formatCount, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { collect, momentArgument, parseCount } from "../arguments.ts";
import {
  newCommand,
  type RepositoryOption,
  repositoryOption,
  type SourceOption,
  sourceFrom,
} from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { idsShown } from "../output/short-ids.ts";
import { type Column, cutLeft, formatTable, tableWidth } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";

interface Options extends RepositoryOption, SourceOption {
  readonly name?: string;
  readonly tag?: string[];
  readonly before?: Date;
  readonly after?: Date;
  readonly limit?: number;
  readonly ids?: boolean;
}

export function listCommand(): Command {
  return newCommand("list", {
    summary: "List the snapshots, the newest first.",
    description:
      "Lists the snapshots of a repository, newest first. Times are in this machine's time zone. A snapshot with a damaged document is left out with a warning; verify names it. Tables that lost most of their rows between two snapshots, and have not had as many since, are named below. On a narrow terminal, snapshots are grouped by source and shown by the end of their ids, which every command accepts.",
    examples: ["list --repo ./vault", "list --tag keep --after 7d", "list --ids"],
    json: `[{ id, name?, description?, tags, pinned?: { since, reason? }, source: { type, id, uri, host }, createdAt, taken?, durationMs, history, files, bytes,
newFiles, newBytes, storedBytes, parts: [{ source, files, bytes }], rows, tables: [{ id, directory, version, digest, versionCount, files, bytes, rows, tags,
leftOut }], leftOut?: [{ table, why, what }], software }], the newest first`,
  })
    .addOption(repositoryOption())
    .option("--name <name>", "Only snapshots with this name.")
    .option("--source <database>", "Only snapshots of this database: its directory or its id.")
    .option("--tag <tag>", "Only snapshots with this tag; if given several times, with all of them.", collect)
    .option("--before <moment>", 'Only older ones: "2026-11-21 02:30", or 2h, 3d, 1w ago.', momentArgument)
    .option("--after <moment>", "Only from this time on.", momentArgument)
    .option("--limit <count>", "Only this many, the newest.", parseCount)
    .option("--ids", "Print only the ids, one per line.")
    .action(handle(run));
}

async function run(context: Context, options: Options): Promise<Answer> {
  const { name, tag: tags, before, after, limit } = options;
  await using repository = await openRepository(context, options);
  const filter = { name, source: sourceFrom(options), tags, before, after };
  const matching = await repository.list(filter);
  const snapshots = matching.slice(0, limit);
  if (options.ids) return { json: snapshots, text: snapshots.map(({ id }) => id).join("\n") };
  if (snapshots.length === 0) return { json: snapshots, text: nothing(filter) };
  const table = snapshotTable(context.terminal, snapshots);
  // Only among all of a source can be seen what fell, and whether it has come back since.
  const isPart = [name, tags, before, after].some((value) => value !== undefined);
  const all = isPart ? await repository.list({ source: filter.source }) : matching;
  const falls = await shrunkSince(context.terminal, all, new Set(matching.map(({ id }) => id)));
  return { json: snapshots, text: [table, ...falls].join("\n") };
}

const MOST_FALLS = 5;

/** Tables that have lost most of their rows from or to one of the snapshots that match, in words. */
async function shrunkSince(
  terminal: Terminal,
  all: readonly Snapshot[],
  matching: ReadonlySet<string>,
): Promise<string[]> {
  const { fallsAmong, fallShown } = await import("../../sources/lancedb/snapshot-view.ts");
  const falls = fallsAmong(all).filter(
    ({ before, after }) => matching.has(before.id) || matching.has(after.id),
  );
  const lines = falls.slice(0, MOST_FALLS).map((fall) => `${printable(fallShown(fall))}.`);
  const more = falls.length - lines.length;
  if (more > 0) lines.push(`${counted(more, "table")} more lost most of their rows: doctor names them.`);
  return lines.map((line) => terminal.style("yellow", line));
}

function nothing(filter: SnapshotFilter): string {
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  return !isFiltered ? "The repository has no snapshot yet." : "There is no such snapshot.";
}

/** With those that are not in it. */
function tableCount({ tables, leftOut = [] }: Snapshot): string {
  const count = formatCount(tables.length);
  return leftOut.length > 0 ? `${count} (${formatCount(leftOut.length)} left out)` : count;
}

/** No tag is written so. */
function labelsShown({ tags, pinned }: Snapshot): string {
  return [...(pinned ? ["(pinned)"] : []), ...tags].join(" ");
}

function sourcesOf({ source, parts }: Snapshot): string {
  return parts.length > 1 ? `${source.uri} (${parts.length} parts)` : source.uri;
}

const ID: Column<Snapshot> = { title: "ID", value: ({ id }) => id, style: () => "cyan" };

const COLUMNS: readonly Column<Snapshot>[] = [
  { title: "TIME", value: ({ createdAt }) => formatTime(createdAt) },
  { title: "NAME", value: ({ name }) => name ?? "" },
  { title: "TABLES", value: tableCount, align: "right" },
  { title: "ROWS", value: ({ rows }) => formatCount(rows), align: "right" },
  { title: "SIZE", value: ({ bytes }) => formatBytes(bytes), align: "right" },
  { title: "NEW", value: ({ newBytes }) => formatBytes(newBytes), align: "right" },
  { title: "TAGS", value: labelsShown, least: 4 },
];

/** What a narrow terminal does without, in this order. Id, time and name are never cut. */
const LESS = ["NEW", "TABLES", "ROWS", "TAGS", "SIZE"];

/** One table where it fits; else one for each source below its place, with short ids. */
function snapshotTable(terminal: Terminal, snapshots: readonly Snapshot[]): string {
  const all = [ID, ...COLUMNS, { title: "SOURCE", value: sourcesOf }];
  if (tableWidth(all, snapshots) <= terminal.columns) return formatTable(terminal, all, snapshots);
  const shown = idsShown(terminal, snapshots);
  const shortId = { ...ID, value: ({ id }: Snapshot) => shown(id) };
  let columns = [shortId, ...COLUMNS];
  for (const title of LESS) {
    if (tableWidth(columns, snapshots) <= terminal.columns) break;
    columns = columns.filter((column) => column.title !== title);
  }
  const uncut = { ...terminal, columns: Number.POSITIVE_INFINITY };
  const bySource = Map.groupBy(snapshots, ({ parts }) => parts.map(({ source }) => source.id).join());
  const tables = [...bySource.values()].map((own) => {
    const place = own[0] ? printable(sourcesOf(own[0])) : "";
    const heading = terminal.style("bold", cutLeft(place, terminal.columns));
    return `${heading}\n${formatTable(uncut, columns, own)}`;
  });
  return tables.join("\n\n");
}
