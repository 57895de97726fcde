import type { Exclusions, LeftOutTable } from "../lance/left-out.ts";

/**
 * A file that is to be kept. It does not change, and stays readable until the capture is disposed of; one of a known
 * table, or where the source's file system has no links, may vanish: then capture again.
 */
export interface CapturedFile {
  /** Relative to its table's directory, with forward slashes. */
  readonly path: string;
  /** Where it can be read now, absolute. */
  readonly location: string;
  readonly size: number;
  readonly inode: number;
  readonly mtimeMs: number;
}

export interface CapturedVersion {
  readonly version: number;
  /** Milliseconds since 1970; NaN where unknown. */
  readonly timestamp: number;
  readonly rows: number;
}

export interface CapturedTable {
  readonly id: string;
  readonly directory: string;
  readonly version: number;
  readonly digest: string;
  /** Ascending. */
  readonly versions: readonly CapturedVersion[];
  readonly files: readonly CapturedFile[];
  readonly tags: readonly string[];
  readonly leftOut: readonly string[];
}

/** Tables as they were at one moment, kept readable until it is disposed of. */
export interface Capture extends AsyncDisposable {
  /** What the source calls a table and is none, by its name there; not in the capture. */
  readonly stubs?: readonly string[] | undefined;
  readonly tables: readonly CapturedTable[];
  /** Tables that are not in it, although they are there. */
  readonly leftOut?: readonly LeftOutTable[] | undefined;
  /** When it was taken, milliseconds since 1970. */
  readonly capturedAt: number;
  /** How guarded writes were kept out of it, where the source has such a thing. */
  readonly taken?: "locked" | "read-only" | undefined;
  /** Directories that look like tables and are none, for a warning: copies that a synchronising program has kept. */
  readonly strays?: readonly string[] | undefined;
}

/** A table as it was captured before: where nothing of it has changed, it need not be held or read again. */
export interface KnownTable extends Omit<CapturedTable, "files"> {
  readonly files: readonly Omit<CapturedFile, "location">[];
}

export interface CaptureRequest extends Exclusions {
  /** Ids of tables; all where not given. */
  readonly tables?: readonly string[] | undefined;
  readonly history: "all" | "latest";
  /** How long to wait for guarded writes to end, milliseconds. Default 30,000. */
  readonly lockTimeoutMs?: number | undefined;
  /** What is known of tables, by their directory, from a capture of the same source with the same `history`. */
  readonly known?: ReadonlyMap<string, KnownTable> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Something that can be backed up. */
export interface Source {
  readonly type: "lancedb";
  /** Where it is, for people. */
  readonly uri: string;
  /** Which one it is: the same on whatever host and by whatever path. Snapshots of one id belong together. */
  readonly id: string;
  /** Its directory, where it is a local one: while this is away, nothing is captured. */
  readonly root?: string | undefined;
  /** Whether the id is made of the place, since nothing can be kept there: others at that place have it too. */
  readonly isIdDerived?: boolean | undefined;
  /** Makes the id last where it is new, before a snapshot is published; answers with what it is from now on. */
  keepId?(): Promise<string>;
  capture(request: CaptureRequest): Promise<Capture>;
}
