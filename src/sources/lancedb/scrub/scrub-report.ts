import type { OnProgress } from "../../../engine/progress.ts";
import type { SnapshotSource } from "../snapshot-view.ts";

export interface ScrubOptions {
  /** Put the snapshot's file in the place of each damaged one, where it is that very file. Default false. */
  heal?: boolean | undefined;
  /** The snapshot to compare with: an id, a name, or the beginning of an id. Default: the newest of this database. */
  snapshot?: string | undefined;
  /** Of which database, by its id or directory, the snapshot is to be. Default: of this one. */
  source?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** Rows of a fragment, by their offsets in it; `_rowaddr` is `fragment * 2^32 + offset`. */
export interface RowRange {
  readonly fragment: number;
  readonly first: number;
  /** The last one, itself included. */
  readonly last: number;
}

/** One file of the live database that is not what it was. */
export interface Damage {
  /** The table's id. */
  readonly table: string;
  /** Relative to the table's directory, with forward slashes. */
  readonly path: string;
  /** Absolute. */
  readonly file: string;
  readonly kind: "data" | "blobs" | "deletions" | "index" | "manifest" | "tag" | "other";
  readonly problem: "missing" | "size" | "content";
  /** All of it in a sentence, for people. */
  readonly details: string;
  /** SHA-256 and bytes that the snapshot has for it; undefined where it does not have the file. */
  readonly sha256: string | undefined;
  readonly size: number | undefined;
  /** Where it differs from the snapshot's file, where both could be read. Offsets from 0, the last one included. */
  readonly bytes?: { readonly first: number; readonly last: number; readonly count: number } | undefined;
  /** The newest version of the table that needs the file; of a manifest, its own. */
  readonly version?: number | undefined;
  readonly index?: string | undefined;
  /** What can be wrong, where that can be told. Nested columns with dots. */
  readonly columns?: readonly string[] | undefined;
  readonly rows?: readonly RowRange[] | undefined;
  /** Whether the snapshot's file is in its place now. */
  readonly mended: boolean;
  /** Why it could not be, or must not be, mended from this snapshot; undefined where it can be. */
  readonly refused?: string | undefined;
  /** Where the damaged file was kept. */
  readonly aside?: string | undefined;
}

export interface ScrubReport {
  /** Id of the snapshot. */
  readonly snapshot: string;
  /** Which database that was taken of. */
  readonly source: SnapshotSource;
  /** Ids of tables that were compared. */
  readonly tables: readonly string[];
  /** Ids of tables that the snapshot has and the database has not: dropped since, or lost. */
  readonly missingTables: readonly string[];
  /** Ids of tables that the snapshot does not have. */
  readonly newTables: readonly string[];
  /** Files that were compared with the snapshot byte for byte, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Files that live versions need and the snapshot does not have: written since. Only their sizes were looked at. */
  readonly newFiles: number;
  readonly damage: readonly Damage[];
}
