import { assertPathsApart } from "../../engine/format/check-paths.ts";
import type { JsonObject, PartContent, StoredPart } from "../../engine/snapshot.ts";
import type { Holdings } from "../../engine/source-contract.ts";
import type { SourceKind } from "../../engine/source-kind.ts";
import { CorruptError } from "../../errors.ts";
import { Fields, shown } from "../../fs/fields.ts";
import { assertInnerPath } from "../../fs/safe-names.ts";
import type { LeftOutTable } from "../../lance/left-out.ts";
import { idOfDirectory, isHidden, NAMESPACE_TABLE } from "../../lance/table-directory.ts";

// A LanceDB database as a part of a snapshot (docs/formats.md, *A LanceDB database as a part*).

/** One table in a snapshot. */
export interface SnapshotTable {
  /** Its name, after its namespaces, joined by `$`. */
  readonly id: string;
  /** Its directory's name inside the database directory. */
  readonly directory: string;
  /** The newest Lance version in the snapshot. */
  readonly version: number;
  /** SHA-256 of that version's manifest, hexadecimal. */
  readonly digest: string;
  /** How many versions the snapshot holds of it. */
  readonly versionCount: number;
  readonly files: number;
  readonly bytes: number;
  /** Rows of the newest version. */
  readonly rows: number;
  /** Names of its tags. */
  readonly tags: readonly string[];
  /** What is not in the snapshot, in words: branches, older versions that were damaged already. */
  readonly leftOut: readonly string[];
}

/** One version of a table. */
export interface SnapshotVersion {
  readonly version: number;
  /** When it was committed, by the clock of the machine that did; undefined where the manifest does not say. */
  readonly createdAt: Date | undefined;
  readonly rows: number;
}

/** What a listing says of the database. */
export interface LanceAbout {
  /** Ids of tables that the backup was to take alone; undefined where it was to take all. */
  readonly selection?: readonly string[] | undefined;
  /**
   * How guarded writes were kept out meanwhile. `locked`: by the tables' locks. `read-only`: nothing could be written in
   * the database, so its locks and journal were read before and after, and nobody had come.
   */
  readonly taken?: "locked" | "read-only" | undefined;
  /** Whether older versions are in it. */
  readonly history: "all" | "latest";
  /** Rows of the newest versions of all tables. */
  readonly rows: number;
  /** Tables of its LanceDB database; empty where it has none. */
  readonly tables: readonly SnapshotTable[];
  /** Tables of the database that are not in the snapshot, because they were excluded or cannot be captured in full; where there are any. */
  readonly leftOut?: readonly LeftOutTable[] | undefined;
}

export const LANCEDB_KIND: SourceKind = {
  type: "lancedb",
  assertAbout: (part, place) => void readAbout(part, place),
  assertPart,
  locate(whole) {
    const { directory, path } = splitPath(whole);
    return { table: idOfDirectory(directory), path };
  },
  holdings: (part) => holdingsOf(readAbout(part, part.source.uri)),
};

/** What `about` says, as JSON. */
export function writeAbout({ selection, taken, history, rows, tables, leftOut }: LanceAbout): JsonObject {
  return {
    ...(selection && { selection }),
    ...(taken && { taken }),
    history,
    rows,
    tables,
    ...(leftOut && leftOut.length > 0 && { leftOut }),
  };
}

/** @throws CorruptError naming `place`. */
export function readAbout({ about, files, bytes }: StoredPart, place: string): LanceAbout {
  const fields = new Fields(about, place, "about");
  const tables = fields.objects("tables").map(tableFrom);
  for (const table of tables) assertTablePlace(table.id, table.directory, place);
  assertPathsApart(
    tables.map((table) => table.directory),
    place,
  );
  const rows = fields.count("rows");
  const selection = fields.optionalTexts("selection");
  const leftOut = fields.optionalObjects("leftOut")?.map(leftOutFrom);
  for (const [key, total] of Object.entries({ files, bytes, rows })) {
    const sum = tables.reduce((before, table) => before + table[key as "files" | "bytes" | "rows"], 0);
    if (sum !== total) throw corrupt(place, `its ${key} are not those of its tables`);
  }
  return {
    ...(selection && { selection }),
    ...(fields.optionalText("taken") !== undefined && {
      taken: fields.oneOf("taken", ["locked", "read-only"]),
    }),
    history: fields.oneOf("history", ["all", "latest"]),
    rows,
    tables,
    ...(leftOut && { leftOut }),
  };
}

/** What `details` says, as JSON. */
export function writeVersions(
  tables: readonly { readonly directory: string; readonly versions: readonly SnapshotVersion[] }[],
): JsonObject {
  const lists = tables.map(({ directory, versions }) => [
    directory,
    versions.map(({ version, createdAt, rows }) => [version, createdAt?.getTime() ?? null, rows]),
  ]);
  return { versions: Object.fromEntries(lists) };
}

/** Versions by the table's directory. @throws CorruptError naming `place`. */
export function readVersions({ details }: PartContent, place: string): Map<string, SnapshotVersion[]> {
  const versions = new Fields(details, place, "details").record("versions");
  return new Map(
    Object.entries(versions).map(([directory, list]) => {
      if (!Array.isArray(list)) throw corrupt(place, `${directory} has no list of versions`);
      return [directory, list.map((entry: unknown) => versionFrom(entry, place, directory))];
    }),
  );
}

/** An entry's path: the table's directory, and the path in it. */
export function splitPath(path: string): { readonly directory: string; readonly path: string } {
  const end = path.indexOf("/");
  return { directory: path.slice(0, Math.max(end, 0)), path: path.slice(end + 1) };
}

export function stampOf({ inode, mtimeMs }: { readonly inode: number; readonly mtimeMs: number }): string {
  return `${inode}:${mtimeMs}`;
}

const STAMP = /^(\d{1,16}):(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

function isStamp(stamp: string | undefined): boolean {
  const { inode, mtimeMs } = stampFields(stamp);
  return STAMP.test(stamp ?? "") && Number.isSafeInteger(inode) && Number.isFinite(mtimeMs);
}

/** Of a stamp that is none, numbers that no file has. */
export function stampFields(stamp: string | undefined): { readonly inode: number; readonly mtimeMs: number } {
  const [, inode, mtimeMs] = STAMP.exec(stamp ?? "") ?? [];
  return { inode: Number(inode ?? 0), mtimeMs: Number(mtimeMs ?? 0) };
}

/** The list of namespaces is none of a user's tables. */
export function holdingsOf({ tables, selection, leftOut = [] }: LanceAbout): Holdings {
  const users = tables.filter(({ id }) => id !== NAMESPACE_TABLE);
  return {
    rows: new Map(users.map(({ id, rows }) => [id, rows])),
    selection,
    leftOut: leftOut.map(({ table }) => table),
  };
}

/**
 * Holds a table to a plain directory that is not hidden, and to the name that this stands for: what is restored by one
 * name is not written over another table.
 *
 * @throws CorruptError naming `place` and the directory.
 */
export function assertTablePlace(id: string, directory: string, place: string): void {
  const isPlain = !directory.includes("/") && !isHidden(directory);
  if (isPlain && !/^\.*$/.test(id) && idOfDirectory(directory) === id) return;
  throw new CorruptError(
    `${place} has a table ${shown(id)} in ${shown(directory)}, where no table of that name can be.`,
    { path: place },
  );
}

function assertPart(part: PartContent, place: string): void {
  const { tables } = readAbout(part, place);
  const versions = readVersions(part, place);
  const directories = tables.map(({ directory }) => directory).sort();
  if ([...versions.keys()].sort().join("/") !== directories.join("/")) {
    throw corrupt(place, "its versions are not those of its tables");
  }
  const sums = new Map(directories.map((directory) => [directory, { files: 0, bytes: 0 }]));
  for (const { path, size, stamp, attributes } of part.entries) {
    const { directory, path: inner } = splitPath(path);
    assertInnerPath(inner, place);
    const sum = sums.get(directory);
    if (!sum) throw corrupt(place, `it has a file that belongs to no table: ${shown(path)}`);
    if (!isStamp(stamp) || attributes) {
      throw corrupt(place, `${directory} lists something that is not a file: ${shown(path)}`);
    }
    sum.files++;
    sum.bytes += size;
  }
  for (const table of tables) assertTable(table, versions.get(table.directory) ?? [], sums, place);
}

function assertTable(
  table: SnapshotTable,
  versions: readonly SnapshotVersion[],
  sums: ReadonlyMap<string, { readonly files: number; readonly bytes: number }>,
  place: string,
): void {
  const { directory } = table;
  const ascending = versions.every(
    (entry, index) => index === 0 || entry.version > (versions[index - 1]?.version ?? 0),
  );
  const last = versions.at(-1);
  if (!ascending || last?.version !== table.version || last.rows !== table.rows) {
    throw corrupt(place, `the versions of ${directory} are not those of its summary`);
  }
  const { files, bytes } = sums.get(directory) ?? {};
  if (versions.length !== table.versionCount || files !== table.files) {
    throw corrupt(place, `the counts of ${directory} are not those of its summary`);
  }
  if (bytes !== table.bytes) throw corrupt(place, `the sizes of ${directory} are not those of its summary`);
}

function tableFrom(fields: Fields): SnapshotTable {
  return {
    id: fields.text("id"),
    directory: fields.text("directory"),
    version: fields.count("version"),
    digest: fields.digest("digest"),
    versionCount: fields.count("versionCount"),
    files: fields.count("files"),
    bytes: fields.count("bytes"),
    rows: fields.count("rows"),
    tags: fields.texts("tags"),
    leftOut: fields.texts("leftOut"),
  };
}

function leftOutFrom(fields: Fields): LeftOutTable {
  return {
    table: fields.text("table"),
    why: fields.oneOf("why", ["excluded", "unsupported"]),
    what: fields.text("what"),
  };
}

function versionFrom(entry: unknown, place: string, table: string): SnapshotVersion {
  const [version, time, rows] = Array.isArray(entry) ? (entry as unknown[]) : [];
  const createdAt = typeof time === "number" ? new Date(time) : undefined;
  const knownTime = time === null || (createdAt !== undefined && !Number.isNaN(createdAt.getTime()));
  if (!isCount(version) || !isCount(rows) || !knownTime) {
    throw corrupt(place, `${table} lists something that is not a version: ${shown(entry)}`);
  }
  return { version, createdAt, rows };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function corrupt(place: string, why: string): CorruptError {
  return new CorruptError(`The snapshot document ${place} is damaged: ${why}.`, { path: place });
}
