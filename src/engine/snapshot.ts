import type { LeftOutTable } from "../lance/left-out.ts";
import type { ShrunkTable } from "../lance/shrunk-tables.ts";

export type { LeftOutTable } from "../lance/left-out.ts";

/** Where a snapshot's tables came from. */
export interface SnapshotSource {
  readonly type: "lancedb";
  /** Which database it was: the same on whatever host and by whatever path. Snapshots of one id belong together. */
  readonly id: string;
  /** The database's directory, absolute, on `host`, when the snapshot was taken. */
  readonly uri: string;
  /** Who took the snapshot. For people alone: in containers it changes with every run. */
  readonly host: string;
}

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

/** What a catalog says of a snapshot. */
export interface Snapshot {
  readonly id: string;
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly tags: readonly string[];
  readonly source: SnapshotSource;
  /** Ids of tables that the backup was to take alone; undefined where it was to take all. */
  readonly selection?: readonly string[] | undefined;
  /** When the tables were captured. */
  readonly createdAt: Date;
  /**
   * How guarded writes were kept out meanwhile. `locked`: by the tables' locks. `read-only`: nothing could be written in
   * the database, so its locks and journal were read before and after, and nobody had come. Missing in older snapshots.
   */
  readonly taken?: "locked" | "read-only" | undefined;
  /** How long the backup took, milliseconds. */
  readonly durationMs: number;
  /** Whether older versions are in it. */
  readonly history: "all" | "latest";
  readonly files: number;
  readonly bytes: number;
  /** Files and bytes that no earlier snapshot of the repository had. */
  readonly newFiles: number;
  readonly newBytes: number;
  /** Rows of the newest versions of all tables. */
  readonly rows: number;
  readonly tables: readonly SnapshotTable[];
  /** Tables of the database that are not in the snapshot, because they were excluded or cannot be captured in full; where there are any. */
  readonly leftOut?: readonly LeftOutTable[] | undefined;
  /** Versions of what made it. */
  readonly software: { readonly lancedbBackup: string; readonly node: string };
}

/** One version of a table. */
export interface SnapshotVersion {
  readonly version: number;
  /** When it was committed, by the clock of the machine that did; undefined where the manifest does not say. */
  readonly createdAt: Date | undefined;
  readonly rows: number;
}

/** One file of a snapshot's table. */
export interface SnapshotFile {
  /** Relative to the table's directory, with forward slashes. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Of its content, hexadecimal: the name of its blob. */
  readonly sha256: string;
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

/** What the document of a snapshot says: the details and every file. */
export interface SnapshotContent {
  readonly snapshot: SnapshotDetails;
  /** By the table's directory; in the order of their paths. */
  readonly files: ReadonlyMap<string, readonly SnapshotFile[]>;
}
