import { fallsBetween, type Telling } from "../../engine/retention/falls.ts";
import type {
  PartContent,
  Piece,
  SnapshotSource,
  StoredContent,
  StoredEntry,
  StoredPart,
  StoredSnapshot,
} from "../../engine/snapshot.ts";
import { kindOf } from "../../engine/source-kind.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import { advice } from "../../hint.ts";
import { type Fall, fallInWords, type ShrunkTable } from "../../util/shrunk-tables.ts";
import {
  holdingsOf,
  type LanceAbout,
  readAbout,
  readVersions,
  type SnapshotTable,
  type SnapshotVersion,
  splitPath,
  stampFields,
} from "./lancedb-part.ts";

// A snapshot as a user sees it: with the tables of its LanceDB part beside what every snapshot has.

export type { SnapshotSource } from "../../engine/snapshot.ts";
export type { LeftOutTable } from "../../lance/left-out.ts";
export type { SnapshotTable, SnapshotVersion } from "./lancedb-part.ts";

/** What was taken together in a snapshot: one part a source. */
export type SnapshotPart = Pick<StoredPart, "source" | "files" | "bytes">;

/** What a catalog says of a snapshot. */
export interface Snapshot extends Omit<StoredSnapshot, "parts">, LanceAbout {
  /** What was taken together, at one moment. */
  readonly parts: readonly SnapshotPart[];
  /** The source of its LanceDB database; where it has none, of its first part. */
  readonly source: SnapshotSource;
}

/** One file of a snapshot's table. */
export interface SnapshotFile {
  /** Relative to the table's directory, with forward slashes. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Of its content, hexadecimal. */
  readonly sha256: string;
  /** Where its bytes are; undefined: in one blob, whose name is `sha256`. */
  readonly pieces?: readonly Piece[] | undefined;
  /** The file's number on the source's file system, and its time of change: by these it is known again. */
  readonly inode: number;
  /** Milliseconds since 1970, with fractions. */
  readonly mtimeMs: number;
}

export interface SnapshotTableDetails extends SnapshotTable {
  /** Ascending. */
  readonly versions: readonly SnapshotVersion[];
}

/** A snapshot, whole. */
export interface SnapshotDetails extends Snapshot {
  readonly tables: readonly SnapshotTableDetails[];
  /** SHA-256 that the snapshot's document ends with. */
  readonly checksum: string;
}

/** A snapshot that was just taken. */
export interface TakenSnapshot extends SnapshotDetails {
  /** Tables that are gone, or have far fewer rows than in the snapshot before; undefined where there is none. */
  readonly shrunk?: readonly ShrunkTable[] | undefined;
}

/** What the document of a snapshot says of its LanceDB part: the details and every file. */
export interface SnapshotContent {
  readonly snapshot: SnapshotDetails;
  /** By the table's directory; in the order of their paths. */
  readonly files: ReadonlyMap<string, readonly SnapshotFile[]>;
}

const LANCEDB = "lancedb";

/** Tells which of several LanceDB parts is meant. */
export type ChoosePart = (source: SnapshotSource) => boolean;

const ANY: ChoosePart = () => true;

/** The LanceDB parts of a snapshot that may be meant: all, where none of them is. */
export function lanceParts<P extends Pick<StoredPart, "source">>(
  parts: readonly P[],
  choose = ANY,
): readonly P[] {
  const all = parts.filter(({ source }) => source.type === LANCEDB);
  const chosen = all.filter(({ source }) => choose(source));
  return chosen.length > 0 ? chosen : all;
}

/** A snapshot as a listing shows it: of several LanceDB parts of which none is chosen, with the tables of all. */
export function viewOf({ parts, ...snapshot }: StoredSnapshot, choose?: ChoosePart): Snapshot {
  const chosen = lanceParts(parts, choose);
  const shown = parts.map(({ source, files, bytes }) => ({ source, files, bytes }));
  const source = chosen[0]?.source ?? parts[0]?.source;
  if (!source) throw new CorruptError(`Snapshot ${snapshot.id} has no part.`);
  return {
    ...snapshot,
    parts: shown,
    source,
    ...together(chosen.map((part) => readAbout(part, snapshot.id))),
  };
}

function together(abouts: readonly LanceAbout[]): LanceAbout {
  const [first, ...others] = abouts;
  if (!first) return { history: "all", rows: 0, tables: [] };
  if (others.length === 0) return first;
  const leftOut = abouts.flatMap((about) => about.leftOut ?? []);
  return {
    ...first,
    rows: abouts.reduce((sum, { rows }) => sum + rows, 0),
    tables: abouts.flatMap(({ tables }) => tables),
    ...(leftOut.length > 0 && { leftOut }),
  };
}

/** The same with the versions of its tables. */
export function detailsView({ snapshot, parts }: StoredContent, choose?: ChoosePart): SnapshotDetails {
  const { checksum, ...rest } = snapshot;
  const tables = lanceParts(parts, choose).flatMap(detailsOf);
  const view = viewOf(rest, choose);
  const others = parts.flatMap((part) => kindOf(part.source.type)?.leftOut?.(part) ?? []);
  const leftOut = [...(view.leftOut ?? []), ...others];
  return { ...view, tables, checksum, ...(leftOut.length > 0 && { leftOut }) };
}

/**
 * The LanceDB part of a snapshot.
 *
 * @throws ValidationError where it has none, or several of which none is chosen, naming them.
 */
export function contentView(stored: StoredContent, choose?: ChoosePart): SnapshotContent {
  const [part, ...others] = lanceParts(stored.parts, choose);
  const { id } = stored.snapshot;
  const inWords = stored.parts
    .map(({ source }) => `${source.type} ${source.uri} (id ${source.id})`)
    .join(", ");
  if (!part) throw new ValidationError(`Snapshot ${id} has no LanceDB database. It has ${inWords}.`);
  if (others.length > 0) {
    throw new ValidationError(
      advice`Snapshot ${id} has ${others.length + 1} LanceDB databases: say which ${{ options: { source: null } }}, by its id or its directory. It has ${inWords}.`,
    );
  }
  const snapshot = detailsView(stored, choose);
  return { snapshot, files: filesOf(part, snapshot.tables) };
}

function detailsOf(part: PartContent): SnapshotTableDetails[] {
  const versions = readVersions(part, part.source.uri);
  const { tables } = readAbout(part, part.source.uri);
  return tables.map((table) => ({ ...table, versions: versions.get(table.directory) ?? [] }));
}

function filesOf(part: PartContent, tables: readonly SnapshotTable[]): Map<string, SnapshotFile[]> {
  const files = new Map<string, SnapshotFile[]>(tables.map(({ directory }) => [directory, []]));
  for (const entry of part.entries) {
    const { directory, path } = splitPath(entry.path);
    files.get(directory)?.push(fileOf(entry, path));
  }
  return files;
}

function fileOf({ size, sha256, stamp, pieces }: StoredEntry, path: string): SnapshotFile {
  return { path, size, sha256, ...stampFields(stamp), ...(pieces && { pieces }) };
}

/** A snapshot with what it tells of its tables. */
export function tellingView(snapshot: Snapshot): Snapshot & Telling {
  return { ...snapshot, holdings: holdingsOf(snapshot) };
}

/**
 * Tables that lost most of their rows from one snapshot of their database to the next, and have not had as many since: less than half
 * of 100 rows or more is left, or a table is gone that had any. The last snapshot from before is kept by retention.
 *
 * @param newestFirst as `Repository.list` answers, of one database or several.
 * @example
 * ```ts
 * const falls = fallsAmong(await repository.list());
 * for (const { table, before } of falls) console.log(table, before.id);
 * ```
 */
export function fallsAmong(newestFirst: readonly Snapshot[]): Fall<Snapshot>[] {
  const groups = [...Map.groupBy(newestFirst, ({ source }) => source.id).values()];
  return groups.flatMap((group) => fallsBetween(group.toReversed().map(tellingView)));
}

/**
 * In words: `/db: table docs had 10,000 rows and was gone, from snapshot 2026… to 2026…`
 *
 * @example
 * ```ts
 * for (const fall of fallsAmong(await repository.list())) console.warn(fallShown(fall));
 * ```
 */
export function fallShown(fall: Fall<Snapshot>): string {
  const { before, after } = fall;
  return `${before.source.uri}: table ${fallInWords(fall)}, from snapshot ${before.id} to ${after.id}`;
}
