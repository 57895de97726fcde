import type { Command } from "commander";
import type { SnapshotDetails } from "../../repository/index.ts";
import {
  counted,
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatTime,
} from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import {
  A_SNAPSHOT,
  newCommand,
  type RepositoryOption,
  repositoryOption,
  type SourceOption,
  sourceFrom,
  sourceOption,
} from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { formatPairs, formatTable } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";

const TAKEN = {
  locked: "kept out by the tables' locks",
  "read-only": "watched, since the database could not be written to: none came in between",
} as const;

interface Options extends RepositoryOption, SourceOption {
  readonly versions?: boolean;
}

export function infoCommand(): Command {
  return newCommand("info", {
    summary: "Show a snapshot: its tables and their versions.",
    description: "Shows what is in a snapshot. Checks its document, but not its blobs; verify does that.",
    examples: ["info latest --repo ./vault", "info nightly --versions"],
    json: `The snapshot: { id, name?, description?, tags, pinned?: { since, reason? }, source: { type, id, uri, host }, createdAt, taken?, durationMs, history,
files, bytes, newFiles, newBytes, storedBytes, parts: [{ source, files, bytes }], rows, tables: [{ id, directory, version, digest, versionCount, files, bytes,
rows, tags, leftOut, versions: [{ version, createdAt, rows }] }], leftOut?: [{ table, why, what }], software, checksum }`,
  })
    .argument("<id>", A_SNAPSHOT)
    .addOption(repositoryOption())
    .addOption(sourceOption())
    .option("--versions", "Also list every version of every table.")
    .action(handle(run));
}

async function run(context: Context, id: string, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const snapshot = await repository.get(id, { source: sourceFrom(options) });
  const parts = [summaryOf(context.terminal, snapshot), tablesOf(context.terminal, snapshot)];
  if (snapshot.parts.length > 1) parts.push(partsOf(context.terminal, snapshot));
  if (options.versions) parts.push(versionsOf(context.terminal, snapshot));
  const missing = (snapshot.leftOut ?? []).map(({ table, what }) => `  ${printable(`${table}: ${what}`)}`);
  const ofTables = snapshot.tables.flatMap((table) =>
    table.leftOut.map((what) => `  ${printable(`${table.id}: ${what}`)}`),
  );
  const leftOut = [...missing, ...ofTables];
  if (leftOut.length > 0) parts.push(["Not in the snapshot:", ...leftOut].join("\n"));
  return { json: snapshot, text: parts.join("\n\n") };
}

function summaryOf(terminal: Terminal, snapshot: SnapshotDetails): string {
  const { source, software } = snapshot;
  return formatPairs(terminal, [
    ["Id", snapshot.id],
    ["Name", snapshot.name],
    ["Description", snapshot.description],
    ["Tags", snapshot.tags.join(" ")],
    ["Pinned", pinOf(snapshot)],
    [
      "Taken",
      `${formatTime(snapshot.createdAt)} (${formatAge(snapshot.createdAt)}), in ${formatDuration(snapshot.durationMs)}`,
    ],
    ["Guarded writes", snapshot.taken && TAKEN[snapshot.taken]],
    ["Source", source.uri],
    ["Source id", source.id],
    ["Taken by", source.host],
    ["Versions", snapshot.history === "all" ? "all" : "the latest of each table"],
    [
      "Size",
      `${counted(snapshot.files, "file")}, ${formatBytes(snapshot.bytes)}, ${counted(snapshot.rows, "row")}`,
    ],
    ["New", `${counted(snapshot.newFiles, "file")}, ${formatBytes(snapshot.newBytes)}`],
    ["Made with", `lancedb-backup ${software.lancedbBackup}, Node ${software.node}`],
  ]);
}

function pinOf({ pinned }: SnapshotDetails): string | undefined {
  if (!pinned) return undefined;
  const since = `since ${formatTime(pinned.since)}`;
  return pinned.reason === undefined ? since : `${since}: ${printable(pinned.reason)}`;
}

function partsOf(terminal: Terminal, { parts }: SnapshotDetails): string {
  return formatTable(
    terminal,
    [
      { title: "PART", value: ({ source }) => source.type, style: () => "cyan" },
      { title: "SOURCE", value: ({ source }) => source.uri, least: 8, keep: "end" },
      { title: "ID", value: ({ source }) => source.id, least: 8 },
      { title: "FILES", value: ({ files }) => formatCount(files), align: "right" },
      { title: "SIZE", value: ({ bytes }) => formatBytes(bytes), align: "right" },
    ],
    parts,
  );
}

function tablesOf(terminal: Terminal, { tables }: SnapshotDetails): string {
  return formatTable(
    terminal,
    [
      { title: "TABLE", value: ({ id }) => id, least: 12, style: () => "cyan" },
      { title: "VERSION", value: ({ version }) => String(version), align: "right" },
      { title: "VERSIONS", value: ({ versionCount }) => formatCount(versionCount), align: "right" },
      { title: "ROWS", value: ({ rows }) => formatCount(rows), align: "right" },
      { title: "FILES", value: ({ files }) => formatCount(files), align: "right" },
      { title: "SIZE", value: ({ bytes }) => formatBytes(bytes), align: "right" },
      { title: "TAGS", value: ({ tags }) => tags.join(" "), least: 4 },
    ],
    tables,
  );
}

function versionsOf(terminal: Terminal, { tables }: SnapshotDetails): string {
  const rows = tables.flatMap(({ id, versions }) => versions.map((version) => ({ id, ...version })));
  return formatTable(
    terminal,
    [
      { title: "TABLE", value: ({ id }) => id, least: 12, style: () => "cyan" },
      { title: "VERSION", value: ({ version }) => String(version), align: "right" },
      { title: "TIME", value: ({ createdAt }) => (createdAt ? formatTime(createdAt) : "unknown") },
      { title: "ROWS", value: ({ rows }) => formatCount(rows), align: "right" },
    ],
    rows,
  );
}
