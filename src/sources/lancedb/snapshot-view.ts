import type { Telling } from "../../engine/retention/falls.ts";
import type {
  PartContent,
  Piece,
  SnapshotSource,
  StoredContent,
  StoredEntry,
  StoredPart,
  StoredSnapshot,
} from "../../engine/snapshot.ts";
import { CorruptError } from "../../errors.ts";
import type { ShrunkTable } from "../../util/shrunk-tables.ts";
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

/** A snapshot as a listing shows it. */
export function viewOf({ parts, ...snapshot }: StoredSnapshot): Snapshot {
  const part = parts.find(({ source }) => source.type === LANCEDB);
  const shown = parts.map(({ source, files, bytes }) => ({ source, files, bytes }));
  const [first] = parts;
  if (!first) throw new CorruptError(`Snapshot ${snapshot.id} has no part.`);
  if (!part) return { ...snapshot, parts: shown, source: first.source, history: "all", rows: 0, tables: [] };
  const about = readAbout(part, snapshot.id);
  return { ...snapshot, parts: shown, source: part.source, ...about };
}

/** The LanceDB part of a snapshot; without one, no table. */
export function contentView({ snapshot, parts }: StoredContent): SnapshotContent {
  const { checksum, ...rest } = snapshot;
  const view = viewOf(rest);
  const part = parts.find(({ source }) => source.type === LANCEDB);
  if (!part) return { snapshot: { ...view, tables: [], checksum }, files: new Map() };
  return {
    snapshot: { ...view, tables: detailsOf(part, view), checksum },
    files: filesOf(part, view.tables),
  };
}

function detailsOf(part: PartContent, { tables }: Pick<LanceAbout, "tables">): SnapshotTableDetails[] {
  const versions = readVersions(part, part.source.uri);
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
