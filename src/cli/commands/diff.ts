import { type Command, InvalidArgumentError, Option } from "commander";
import type { RowChanges, SnapshotDiff, TableDiff } from "../../repository/index.ts";
import { counted, formatBytes, formatCount } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { parseCount } from "../arguments.ts";
import {
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
import { formatTable } from "../output/table.ts";
import type { Style, Terminal } from "../output/terminal.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends RepositoryOption, SourceOption {
  readonly rows?: string;
  readonly key?: Record<string, string[]>;
  readonly examples?: number;
}

export function diffCommand(): Command {
  return newCommand("diff", {
    summary: "Show the differences between two snapshots.",
    description:
      "Shows which tables, versions, files and bytes differ between two snapshots. --rows and --key also compare rows, by key columns.",
    examples: [
      "diff 20261120 20261121 --repo ./vault",
      "diff nightly latest --rows id",
      "diff a b --key docs=doc,page",
    ],
    json: `{ from, to, fromSource: { type, id, uri, host }, toSource, parts: [{ source, change, files }], tables: [{ id, change: "added", "removed", "changed" or "unchanged", from?, to?: { version, versionCount,
rows, files, bytes }, versions: { added, removed }, files, rows?: { comparable, added, removed, changed, examples } or
{ comparable: false, why } }], files: { added, addedBytes, removed, removedBytes } }`,
  })
    .argument("<a>", "The earlier snapshot: its id, the beginning of it, its name, or latest.")
    .argument("<b>", "The later snapshot.")
    .addOption(repositoryOption())
    .addOption(sourceOption())
    .option("--rows <column>", "Also compare rows by this key column, in every table that has it.")
    .addOption(
      new Option(
        "--key <table=columns>",
        "Also compare rows of this table by these columns; may be given several times.",
      ).argParser(collectKey),
    )
    .option("--examples <count>", "How many keys to show for each kind of change. Default: 10.", parseCount)
    .action(handle(run));
}

async function run(context: Context, from: string, to: string, options: Options): Promise<Answer> {
  const { rows, key, examples } = options;
  if (rows !== undefined && key) throw new UsageError("--rows and --key cannot be used together.");
  await using repository = await openRepository(context, options);
  context.interrupt.describe("Nothing was changed.");
  const difference = await repository.diff(from, to, {
    rows: key ?? rows,
    examples,
    source: sourceFrom(options),
    signal: context.signal,
  });
  return { json: difference, text: describe(context.terminal, difference) };
}

const STYLES: Record<TableDiff["change"], Style> = {
  added: "green",
  removed: "red",
  changed: "yellow",
  unchanged: "dim",
};

function describe(terminal: Terminal, difference: SnapshotDiff): string {
  const { from, to, fromSource, toSource, tables, files } = difference;
  const table = formatTable(
    terminal,
    [
      { title: "TABLE", value: ({ id }) => id, least: 12, style: () => "cyan" },
      { title: "CHANGE", value: ({ change }) => change, style: ({ change }) => STYLES[change] },
      { title: "VERSION", value: (table) => arrow(table, ({ version }) => String(version)) },
      { title: "ROWS", value: (table) => arrow(table, ({ rows }) => formatCount(rows)) },
      { title: "NEW FILES", value: ({ files }) => part(files.added, files.addedBytes), align: "right" },
      { title: "GONE FILES", value: ({ files }) => part(files.removed, files.removedBytes), align: "right" },
    ],
    tables,
  );
  const rows = tables.flatMap(({ id, rows }) => (rows ? [rowLines(id, rows)] : []));
  const total = `New: ${part(files.added, files.addedBytes)}. Gone: ${part(files.removed, files.removedBytes)}.`;
  const [older, newer] = [fromSource, toSource].map(({ uri }) => printable(uri));
  const of =
    fromSource.id === toSource.id
      ? `Both are of ${newer}.`
      : `They are of two databases, ${older} and ${newer}.`;
  const several =
    difference.parts.length > 1 || difference.parts.some(({ source }) => source.type !== "lancedb");
  const parts = several ? [partsTable(terminal, difference)] : [];
  return [`From ${from} to ${to}:`, table, ...rows, ...parts, total, of].join("\n");
}

function partsTable(terminal: Terminal, { parts }: SnapshotDiff): string {
  return formatTable(
    terminal,
    [
      { title: "PART", value: ({ source }) => source.type, style: () => "cyan" },
      { title: "CHANGE", value: ({ change }) => change, style: ({ change }) => STYLES[change] },
      { title: "NEW FILES", value: ({ files }) => part(files.added, files.addedBytes), align: "right" },
      { title: "GONE FILES", value: ({ files }) => part(files.removed, files.removedBytes), align: "right" },
      { title: "SOURCE", value: ({ source }) => source.uri, least: 8, keep: "end" },
    ],
    parts,
  );
}

function arrow({ from, to }: TableDiff, value: (side: NonNullable<TableDiff["from"]>) => string): string {
  const [before, after] = [from && value(from), to && value(to)];
  return before === undefined || after === undefined || before === after
    ? (after ?? before ?? "")
    : `${before} -> ${after}`;
}

function part(files: number, bytes: number): string {
  return `${counted(files, "file")}, ${formatBytes(bytes)}`;
}

function rowLines(id: string, changes: RowChanges): string {
  if (!changes.comparable)
    return `Rows of ${printable(id)} cannot be compared: ${printable(changes.why).replace(/\.$/, "")}.`;
  const { added, removed, changed, examples } = changes;
  const lines = (["added", "removed", "changed"] as const).flatMap((kind) =>
    examples[kind].map((key) => `  ${kind} ${printable(JSON.stringify(key, bigintsAsText))}`),
  );
  const counts = `${formatCount(added)} added, ${formatCount(removed)} removed, ${formatCount(changed)} changed`;
  return [`Rows of ${printable(id)}: ${counts}.`, ...lines].join("\n");
}

function bigintsAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

function collectKey(value: string, before: Record<string, string[]> = {}): Record<string, string[]> {
  const [, table = "", columns] = /^([^=]+)=(.+)$/.exec(value) ?? [];
  if (columns === undefined)
    throw new InvalidArgumentError("It must be a table and its key columns: documents=id.");
  return { ...before, [table]: columns.split(",") };
}
