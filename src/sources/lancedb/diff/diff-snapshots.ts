import { assertKnown, assertSignal } from "../../../checks.ts";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import { changesBetween, diffParts, without } from "../../../engine/diff-parts.ts";
import type { StoredContent } from "../../../engine/snapshot.ts";
import { ValidationError } from "../../../errors.ts";
import { parseManifestName, VERSIONS } from "../../../lance/manifest.ts";
import type { LanceDB } from "../../../lance/which-lancedb.ts";
import { chooserOf, type LanceCatalog } from "../lance-catalog.ts";
import {
  contentView,
  detailsView,
  lanceParts,
  type SnapshotContent,
  type SnapshotFile,
  type SnapshotTableDetails,
} from "../snapshot-view.ts";
import type {
  DiffOptions,
  FileChanges,
  RowChanges,
  SnapshotDiff,
  TableDiff,
  TableSide,
} from "./diff-report.ts";
import type { TablePair } from "./diff-rows.ts";

export interface DiffContext {
  readonly blobs: BlobStore;
  readonly lancedb: LanceDB;
  readonly catalog: Pick<LanceCatalog, "stored" | "resolve">;
}

const MOST_EXAMPLES = 10_000;

/**
 * What lies between two snapshots: tables, versions, files, bytes, from their documents alone. With `rows` also rows by
 * key, of the newest versions: the snapshots are opened, and only fragments that differ are read. That takes 44 bytes of
 * memory for each row of fragments that only the first has, whatever the rows hold.
 *
 * @param from an id, a unique prefix, a name, or `latest`; so is `to`. Any two will do, also of different databases.
 * @throws BackupNotFoundError. @throws ValidationError, TypeError for wrong options. @throws CorruptError,
 * UnsupportedError where a snapshot's document cannot be read, or for rows where a blob is missing.
 */
export async function diff(
  { blobs, lancedb, catalog }: DiffContext,
  from: string,
  to: string,
  options: DiffOptions = {},
): Promise<SnapshotDiff> {
  assertDiffOptions(options);
  const { source, signal } = options;
  signal?.throwIfAborted();
  const read = async (id: string) =>
    catalog.stored.content(await catalog.resolve(id, { source, signal }), signal);
  const [before, after] = [await read(from), await read(to)];
  const view = (stored: StoredContent) => databaseOf(stored, options);
  const [older, newer] = [view(before), view(after)];
  const pairs = pairsOf(older, newer);
  const rows =
    options.rows === undefined
      ? undefined
      : await compareRows({ blobs, lancedb }, older, newer, pairs, options);
  const tables = pairs.map((pair) => tableDiff(pair, older, newer, rows?.get(pair.id)));
  return {
    from: older.snapshot.id,
    to: newer.snapshot.id,
    fromSource: older.snapshot.source,
    toSource: newer.snapshot.source,
    parts: diffParts(before, after),
    tables,
    files: tables.map(({ files }) => files).reduce(sum, NONE),
  };
}

/** The database that is compared; one without tables where there is none, or several of which none is named. */
function databaseOf(stored: StoredContent, { source, rows }: DiffOptions): SnapshotContent {
  const choose = chooserOf({ source });
  const isOne = lanceParts(stored.parts, choose).length === 1;
  if (isOne || rows !== undefined) return contentView(stored, choose);
  return { snapshot: detailsView(stored, choose), files: new Map() };
}

function pairsOf(older: SnapshotContent, newer: SnapshotContent): TablePair[] {
  const before = new Map(older.snapshot.tables.map((table) => [table.id, table]));
  const after = new Map(newer.snapshot.tables.map((table) => [table.id, table]));
  const ids = [...new Set([...before.keys(), ...after.keys()])].sort();
  return ids.map((id) => ({ id, before: before.get(id), after: after.get(id) }));
}

/** LanceDB and Arrow are loaded for this alone. */
async function compareRows(
  place: Pick<DiffContext, "blobs" | "lancedb">,
  older: SnapshotContent,
  newer: SnapshotContent,
  pairs: readonly TablePair[],
  options: DiffOptions,
): Promise<ReadonlyMap<string, RowChanges>> {
  const keys = keysOf(options.rows, pairs);
  const { diffRowsOfTables } = await import("./diff-rows.ts");
  return diffRowsOfTables({
    ...place,
    older,
    newer,
    pairs,
    keys,
    examples: options.examples ?? 10,
    signal: options.signal,
  });
}

/** Key columns by table. @throws ValidationError for a table that neither snapshot has. */
function keysOf(rows: DiffOptions["rows"], pairs: readonly TablePair[]): Map<string, readonly string[]> {
  if (typeof rows === "string") return new Map(pairs.map(({ id }) => [id, [rows]]));
  return new Map(
    Object.entries(rows ?? {}).map(([id, key]) => {
      if (!pairs.some((pair) => pair.id === id))
        throw new ValidationError(`Neither snapshot has a table ${id}.`);
      return [id, typeof key === "string" ? [key] : key];
    }),
  );
}

function tableDiff(
  { id, before, after }: TablePair,
  older: SnapshotContent,
  newer: SnapshotContent,
  rows: RowChanges | undefined,
): TableDiff {
  const had = before ? (older.files.get(before.directory) ?? []) : [];
  const has = after ? (newer.files.get(after.directory) ?? []) : [];
  const added = without(has, had);
  const removed = without(had, has);
  const same = added.length + removed.length === 0;
  return {
    id,
    change: !before ? "added" : !after ? "removed" : same ? "unchanged" : "changed",
    from: sideOf(before),
    to: sideOf(after),
    versions: { added: versionsIn(added), removed: versionsIn(removed) },
    files: changesBetween(had, has),
    ...(rows && { rows }),
  };
}

function sideOf(table: SnapshotTableDetails | undefined): TableSide | undefined {
  if (!table) return undefined;
  const { version, versionCount, rows, files, bytes } = table;
  return { version, versionCount, rows, files, bytes };
}

function versionsIn(files: readonly SnapshotFile[]): number[] {
  return files
    .filter(({ path }) => path.startsWith(`${VERSIONS}/`))
    .map(({ path }) => parseManifestName(path.slice(VERSIONS.length + 1))?.version)
    .filter((version) => version !== undefined)
    .sort((a, b) => a - b);
}

const NONE: FileChanges = { added: 0, addedBytes: 0, removed: 0, removedBytes: 0 };

function sum(a: FileChanges, b: FileChanges): FileChanges {
  return {
    added: a.added + b.added,
    addedBytes: a.addedBytes + b.addedBytes,
    removed: a.removed + b.removed,
    removedBytes: a.removedBytes + b.removedBytes,
  };
}

function assertDiffOptions(options: DiffOptions): void {
  assertKnown(options, "diff", { rows: true, examples: true, source: true, signal: true });
  assertSignal(options.signal);
  const { rows, examples } = options;
  const isKey = (key: unknown) =>
    typeof key === "string" || (Array.isArray(key) && key.every((name) => typeof name === "string"));
  const isMap =
    typeof rows === "object" && rows !== null && !Array.isArray(rows) && Object.values(rows).every(isKey);
  if (rows !== undefined && typeof rows !== "string" && !isMap) {
    throw new TypeError("rows must name a key column, or for each table its key columns.");
  }
  const isCount =
    Number.isSafeInteger(examples) && Number(examples) >= 0 && Number(examples) <= MOST_EXAMPLES;
  if (examples !== undefined && !isCount) {
    throw new ValidationError(
      `examples is ${examples}; it must be a whole number from 0 to ${MOST_EXAMPLES}.`,
    );
  }
}
