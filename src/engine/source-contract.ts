import type { Logger } from "../logger.ts";
import type { EntryAttributes, JsonObject, PartContent } from "./snapshot.ts";

interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * A file that is to be kept. It stays readable until the capture is disposed of; one that is known from before, or
 * where nothing could be held, may vanish: opening it then throws a `NotFoundError` (or the system's `ENOENT`), and all
 * is captured anew. So it is where `capture` throws a `NotFoundError`.
 */
export interface Entry {
  /** Relative, with forward slashes. */
  readonly path: string;
  /** Bytes; undefined where that is known only when all was read. What is read must have as many. */
  readonly size?: number | undefined;
  /** Where path, stamp and, if it is known, size are those of the snapshot before, the content is the same and is not read. */
  readonly stamp?: string | undefined;
  /** A local file that does not change, absolute: it may be linked, copied, and hashed by another thread. */
  readonly file?: string | undefined;
  /** Whether the same path always has the same content: another one is damage. */
  readonly immutable?: boolean | undefined;
  /** Cut by content, so that a small change costs little. */
  readonly changesInPlace?: boolean | undefined;
  /** Bytes that a piece of what is cut by content has as a rule, a power of 2. Default 1 MiB. With less, a small change costs less, and all of it takes more objects. */
  readonly pieceBytes?: number | undefined;
  readonly attributes?: EntryAttributes | undefined;
  /** Another entry of the capture that is the same file under another name: it is read for both. */
  readonly sameAs?: Entry | undefined;
  /** Whether one that has gone is left out. Without it all is captured anew. */
  readonly mayVanish?: boolean | undefined;
  /** The bytes, in pieces of any size. */
  open(options?: ReadOptions): AsyncIterable<Uint8Array>;
  /**
   * All bytes at once, for small ones that are quicker had so; undefined where they are too many by now. Where it is there, or `settle` is,
   * there may be more or fewer than `size`.
   */
  whole?(): Buffer | undefined;
  /** Called when all that `open` gives was read: whether it is to be read once more, since it changed meanwhile. */
  settle?(): "kept" | "again";
}

/** What a source says of its part, when all was read, in values that JSON has. Nothing need be said. */
export interface SourceDetails {
  /** For a listing. */
  readonly about?: JsonObject | undefined;
  readonly details?: JsonObject | undefined;
  /** What the log is to say of it. */
  readonly warnings?: Capture["warnings"];
  /** Whatever else is said belongs to `details`. */
  readonly [more: string]: unknown;
}

/** A source as it was at one moment, kept readable until it is disposed of. */
export interface Capture extends AsyncDisposable {
  readonly capturedAt: Date;
  /** What it holds, where that is known when the list of entries has ended. */
  readonly holdings?: Holdings | undefined;
  /** What the log is to say, when the list of entries has ended. */
  readonly warnings?: readonly { readonly message: string; readonly meta: JsonObject }[] | undefined;
  /** Each once, in any order. */
  entries(): AsyncIterable<Entry>;
  /** Called when all entries were read. @throws where they are not whole: then there is no snapshot. */
  finish(): Promise<SourceDetails>;
}

export interface CaptureRequest {
  /** Of what it holds, names of those that are wanted. Default: all. */
  readonly tables?: readonly string[] | undefined;
  /** Names and patterns of those that are not. */
  readonly exclude?: readonly string[] | undefined;
  /** What becomes of the backup where one of them cannot be captured in full. Default `fail`. */
  readonly onUnsupported?: "fail" | "leave-out" | undefined;
  readonly history?: "all" | "latest" | undefined;
  /** Whether a source that holds nothing is captured all the same. Default false: a wrong directory holds nothing. */
  readonly allowEmpty?: boolean | undefined;
  /** How long to wait for guarded writes to end, milliseconds. Default 30,000. */
  readonly lockTimeoutMs?: number | undefined;
  /** What the source's snapshot before has of it. */
  readonly previous?: PartContent | undefined;
  /**
   * What the source keeps still for its capture, it keeps still until this has ended: captures of other sources, which so
   * are of the same moment. It may be called again where the source has to begin anew.
   */
  readonly whileHeld?: (() => Promise<void>) | undefined;
  /** Nothing is to be written, held by a link or run: of a source that can be looked at so. Default false. */
  readonly writesNothing?: boolean | undefined;
  /** Told for whom is waited. */
  readonly logger?: Logger | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of a capture that is to be possible. */
export type CheckRequest = Pick<
  CaptureRequest,
  "tables" | "exclude" | "onUnsupported" | "allowEmpty" | "signal"
>;

/** Something that can be backed up. */
export interface Source {
  readonly type: string;
  /** Where it is, for people. Never with a password. */
  readonly uri: string;
  /** Which one it is: the same on whatever host and by whatever path. Snapshots of one id belong together. */
  readonly id: string;
  /** Its directory, where it is a local one: while this is away, nothing is captured. */
  readonly root?: string | undefined;
  /** Whether it keeps writers still for its capture, and calls `whileHeld` meanwhile. */
  readonly keepsStill?: boolean | undefined;
  /** Whether a capture with `writesNothing` writes and runs nothing, and reads no content: what a backup would do can be told by it. */
  readonly canBeLookedAt?: boolean | undefined;
  /** Whether the id is made of the place, since nothing can be kept there: others at that place have it too. */
  readonly isIdDerived?: boolean | undefined;
  /** Makes the id last where it is new, before a snapshot is published; answers with what it is from now on. */
  keepId?(): Promise<string>;
  /**
   * Looks whether it could be captured now: whether it is there, lets us in, and lets everything be read that would be captured. Reads
   * no more than that takes, and changes nothing. Answers with what it has found, in words. Without it the capture tells.
   *
   * @throws as `capture`
   */
  check?(request: CheckRequest): Promise<string>;
  /**
   * @throws IoError, UnsupportedError, CorruptError, LockedError as fits; ValidationError where it holds nothing.
   */
  capture(request: CaptureRequest): Promise<Capture>;
}

/**
 * Named things that a part holds, with how many rows each has: tables, for databases. By these it is told that one is
 * gone, or has lost most of its rows.
 */
export interface Holdings {
  readonly rows: ReadonlyMap<string, number>;
  /** Names of those that the backup was to take alone; undefined where it was to take all. */
  readonly selection?: readonly string[] | undefined;
  /** Names of those that are there, and are not in the part. */
  readonly leftOut: readonly string[];
}
