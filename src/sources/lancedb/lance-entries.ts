import { createReadStream, existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { assertPathsApart } from "../../engine/format/check-paths.ts";
import type { CaptureRequest, Entry } from "../../engine/source-contract.ts";
import { CorruptError, UnsupportedError, ValidationError } from "../../errors.ts";
import { advice } from "../../hint.ts";
import { NAMESPACE_TABLE } from "../../lance/database.ts";
import {
  assertTablePlace,
  type LanceAbout,
  readAbout,
  readVersions,
  type SnapshotTable,
  type SnapshotVersion,
  splitPath,
  stampFields,
  stampOf,
} from "./lancedb-part.ts";
import type {
  CapturedFile,
  CapturedTable,
  CapturedVersion,
  KnownTable,
  TableCapture,
} from "./table-capture.ts";

// What was captured of a LanceDB database, in the engine's words, and back.

/** Lance gives these a name of their own each, and never writes one again. */
const WRITTEN_ONCE = /^(data|_deletions|_indices)\//;
const STRETCH_BYTES = 1 << 20;

export function entriesOf({ directory, files }: CapturedTable): Entry[] {
  return files.map((file) => ({
    path: `${directory}/${file.path}`,
    size: file.size,
    stamp: stampOf(file),
    file: file.location,
    immutable: WRITTEN_ONCE.test(file.path),
    open: ({ signal } = {}) => read(file, signal),
  }));
}

function read({ location }: CapturedFile, signal: AbortSignal | undefined): AsyncIterable<Uint8Array> {
  return createReadStream(location, { highWaterMark: STRETCH_BYTES, ...(signal && { signal }) });
}

export function aboutOf(
  { tables, taken, leftOut }: Pick<TableCapture, "tables" | "taken" | "leftOut">,
  { tables: selection, history = "all" }: CaptureRequest,
): LanceAbout {
  const all = tables.map(tableOf);
  return {
    ...(selection && { selection: [...new Set(selection)].sort() }),
    taken,
    history,
    rows: all.reduce((sum, { rows }) => sum + rows, 0),
    tables: all,
    ...(leftOut.length > 0 && { leftOut }),
  };
}

function tableOf(table: CapturedTable): SnapshotTable {
  return {
    id: table.id,
    directory: table.directory,
    version: table.version,
    digest: table.digest,
    versionCount: table.versions.length,
    files: table.files.length,
    bytes: table.files.reduce((sum, file) => sum + file.size, 0),
    rows: table.versions.at(-1)?.rows ?? 0,
    tags: table.tags,
    leftOut: table.leftOut,
  };
}

export function snapshotVersion({ version, timestamp, rows }: CapturedVersion): SnapshotVersion {
  return { version, createdAt: Number.isNaN(timestamp) ? undefined : new Date(timestamp), rows };
}

/** What the snapshot before knows of tables, by their directory, where it was taken with the same history. */
export function knownTables({ previous, history = "all" }: CaptureRequest): ReadonlyMap<string, KnownTable> {
  if (!previous) return new Map();
  const place = previous.source.uri;
  const about = readAbout(previous, place);
  if (about.history !== history) return new Map();
  const versions = readVersions(previous, place);
  const files = new Map<string, KnownTable["files"][number][]>();
  for (const { path: whole, size, stamp } of previous.entries) {
    const { directory, path } = splitPath(whole);
    const list = files.get(directory) ?? [];
    list.push({ path, size, ...stampFields(stamp) });
    files.set(directory, list);
  }
  return new Map(
    about.tables.map(({ id, directory, version, digest, tags, leftOut }) => [
      directory,
      {
        ...{ id, directory, version, digest, tags, leftOut },
        versions: (versions.get(directory) ?? []).map((one) => ({
          version: one.version,
          timestamp: one.createdAt?.getTime() ?? Number.NaN,
          rows: one.rows,
        })),
        files: files.get(directory) ?? [],
      },
    ]),
  );
}

/**
 * Holds tables to directories that a snapshot can name.
 *
 * @throws UnsupportedError naming the table.
 */
export function assertNameable(tables: readonly CapturedTable[], source: string): void {
  try {
    for (const { id, directory } of tables) assertTablePlace(id, directory, source);
    assertPathsApart(
      tables.map(({ directory }) => directory),
      source,
    );
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    throw new UnsupportedError(
      `${error.message} A snapshot keeps no two names that differ by the case of letters alone, since not every file system does. Rename a table, or name the tables to back up.`,
      { cause: error },
    );
  }
}

/**
 * A wrong directory has no table in it, as an empty database has none: its snapshots would pass for backups, and
 * retention rules would count them.
 *
 * @throws ValidationError where there is no table.
 */
export function assertTables(
  { tables, leftOut }: Pick<TableCapture, "tables" | "leftOut">,
  uri: string,
  allowEmpty = false,
): void {
  const isNone = tables.every(({ id }) => id === NAMESPACE_TABLE) && leftOut.length > 0;
  if ((tables.length > 0 && !isNone) || allowEmpty) return;
  if (isNone) {
    const list = leftOut.map(({ table, what }) => `${table}: ${what}`).join("; ");
    throw new ValidationError(
      advice`Every table of ${uri} is left out, so no snapshot was made (${list}). If that is meant, back it up ${{ options: { allowEmpty: true } }}.`,
    );
  }
  throw new ValidationError(
    advice`There is no table in ${uri}, so no snapshot was made.${whatItIs(uri)} If it is meant to be empty, back it up ${{ options: { allowEmpty: true } }}.`,
  );
}

function whatItIs(uri: string): string {
  if (existsSync(join(uri, "repository.json"))) return " It is a repository, not a database.";
  if (basename(uri).endsWith(".lance") || existsSync(join(uri, "_versions"))) {
    return ` It is the directory of a table; its database is ${dirname(uri)}.`;
  }
  return " Is it the directory that LanceDB's connect is given?";
}
