import type { OnProgress } from "./progress.ts";
import type { PartContent, StoredEntry, StoredPart } from "./snapshot.ts";

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

/** What a kind of source can do besides being captured. */
export interface SourceKind {
  /** As `Source.type` says. */
  readonly type: string;
  /**
   * Holds what a listing says of a part to the kind's rules.
   *
   * @throws CorruptError naming `place`, the document.
   */
  assertAbout?(part: StoredPart, place: string): void;
  /**
   * Holds a whole part to them.
   *
   * @throws CorruptError naming `place`, the document.
   */
  assertPart?(part: PartContent, place: string): void;
  holdings?(part: StoredPart): Holdings;
  /**
   * Restores a part. What comes of it is whole or not there.
   *
   * @throws CorruptError where an entry has not the digest that the part says.
   */
  restore?(request: PartToRestore): Promise<void>;
  /** Which of what it holds an entry is of, and its path there, for messages. */
  locate?(path: string): { readonly table: string; readonly path: string };
}

/** A part that is to be restored. */
export interface PartToRestore {
  readonly part: PartContent;
  /** Where to, as the user has said it. */
  readonly target: string;
  /** The bytes of an entry; whoever restores it compares its digest. */
  read(entry: StoredEntry): AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

const kinds = new Map<string, SourceKind>();

/** Makes a kind known. One of the same type is replaced. */
export function registerSource(kind: SourceKind): void {
  kinds.set(kind.type, kind);
}

/** Undefined where nobody has made it known: its parts can be listed, kept and copied, and not be used. */
export function kindOf(type: string): SourceKind | undefined {
  return kinds.get(type);
}

/** What a snapshot holds of all its sources: where it has several, names come after their source's place. */
export function holdingsOfParts(parts: readonly StoredPart[]): Holdings {
  const all = parts.map((part) => ({
    part,
    holdings: kindOf(part.source.type)?.holdings?.(part) ?? NOTHING,
  }));
  const [only] = all;
  if (only && all.length === 1) return only.holdings;
  const rows = new Map<string, number>();
  const leftOut: string[] = [];
  const selection: string[] = [];
  for (const { part, holdings } of all) {
    const named = (name: string) => `${part.source.uri}: ${name}`;
    for (const [name, count] of holdings.rows) rows.set(named(name), count);
    for (const name of holdings.leftOut) leftOut.push(named(name));
    for (const name of holdings.selection ?? []) selection.push(named(name));
  }
  return { rows, leftOut, ...(selection.length > 0 && { selection }) };
}

const NOTHING: Holdings = { rows: new Map(), leftOut: [] };
