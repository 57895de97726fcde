import type { LeftOutTable } from "../../lance/left-out.ts";

// What a LanceDB database holds at one moment.

/** A file of a table, held by a link until the capture is disposed of, or where it is. */
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
export interface TableCapture extends AsyncDisposable {
  /** What LanceDB calls a table and is none, by its name there; not in the capture. */
  readonly stubs: readonly string[];
  readonly tables: readonly CapturedTable[];
  /** Tables that are not in it, although they are there. */
  readonly leftOut: readonly LeftOutTable[];
  /** When it was taken, milliseconds since 1970. */
  readonly capturedAt: number;
  /** How guarded writes were kept out of it. */
  readonly taken: "locked" | "read-only";
  /** Directories that look like tables and are none, for a warning: copies that a synchronising program has kept. */
  readonly strays: readonly string[];
}

/** A table as it was captured before: where nothing of it has changed, it need not be held or read again. */
export interface KnownTable extends Omit<CapturedTable, "files"> {
  readonly files: readonly Omit<CapturedFile, "location">[];
}
