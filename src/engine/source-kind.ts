import type { Logger } from "../logger.ts";
import type { OnProgress } from "./progress.ts";
import type { PartContent, StoredEntry, StoredPart } from "./snapshot.ts";
import type { Holdings, Source } from "./source-contract.ts";
import type { SourceUrlOptions } from "./source-url.ts";

/** What a kind of source can do besides being captured. */
export interface SourceKind {
  /** As `Source.type` says. */
  readonly type: string;
  /** Of addresses that name such a source, without the colon. */
  readonly schemes?: readonly string[] | undefined;
  /** Which options `fromUrl` takes; others are refused by name. Default: none but `sourceId`. */
  readonly urlOptions?: readonly (keyof SourceUrlOptions)[] | undefined;
  /**
   * The source at an address of one of its schemes. Touches nothing that is not local, and changes nothing.
   *
   * @throws ValidationError
   */
  fromUrl?(url: string, options: SourceUrlOptions): Source | Promise<Source>;
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
  /** Refuses what can be refused of a restore before anything is written. @throws as `restore` */
  planRestore?(request: PartToRestore): Promise<void>;
  /**
   * Restores a part. What comes of it is whole or not there.
   *
   * @throws CorruptError where an entry has not the digest that the part says.
   */
  restore?(request: PartToRestore): Promise<RestoredPart> | Promise<void>;
  /**
   * Restores a part into a directory of its own, or into a database that it makes and drops again, and reads it there in full. Answers
   * with what was counted, in words.
   *
   * @throws what a restore would meet. The caller takes the directory away.
   */
  test?(request: PartToTest): Promise<string>;
  /** What of the source is not in the part, or was not asked for: by a name, with the reason. */
  leftOut?(part: PartContent): readonly LeftOutOfPart[];
  /** Which of what it holds an entry is of, and its path there, for messages. */
  locate?(path: string): { readonly table: string; readonly path: string };
}

export interface LeftOutOfPart {
  readonly table: string;
  readonly why: "excluded" | "unsupported";
  readonly what: string;
}

/** The bytes of an entry, as they come. */
export interface EntryContent {
  readonly entry: StoredEntry;
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface PartToRead {
  /** The snapshot's id. */
  readonly snapshot: string;
  readonly part: PartContent;
  /** The bytes of an entry; whoever restores it compares its digest. */
  read(entry: StoredEntry): AsyncIterable<Uint8Array>;
  /** The same of many, in an order in which they are quickly had. Each is to be read before the next is asked for. */
  readAll(entries: readonly StoredEntry[]): AsyncIterable<EntryContent>;
  readonly logger?: Logger | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A part that is to be restored. */
export interface PartToRestore extends PartToRead {
  /** Where to, as the user has said it: a path, or an address that may hold a password. */
  readonly target: string;
  /** `new`: nothing is there, or it is empty. `in-place`: into what is there. Default `new`. */
  readonly mode?: "new" | "in-place" | undefined;
  /** Of its entries or tables those alone; undefined: all. */
  readonly paths?: readonly string[] | undefined;
  readonly tables?: readonly string[] | undefined;
  /** What is done at a time. */
  readonly parallel?: number | undefined;
  /** What the kind takes besides, as its guide says. */
  readonly options?: RestoreUrlOptions | undefined;
}

/** What can be said of the target of a part that is no LanceDB database. */
export interface RestoreUrlOptions {
  /** Files: the owners that the snapshot knows, in place of the target's. Default false. */
  readonly owner?: boolean | undefined;
  /** Databases: processes at a time. */
  readonly jobs?: number | undefined;
  /** Commands: the program that is given the bytes, and its arguments. */
  readonly argv?: readonly string[] | undefined;
  /** Commands, databases: environment of the programs, besides this process's own. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** PostgreSQL, MySQL: where the client programs are. Default: the usual places of each version, and PATH. */
  readonly binDir?: string | undefined;
  /** Milliseconds that it may take. */
  readonly timeoutMs?: number | undefined;
}

/** A part that is to be tested. */
export interface PartToTest extends PartToRead {
  /** Empty, and nobody else's. */
  readonly scratch: string;
}

/** What a restore says of what it did. */
export interface RestoredPart {
  /** Where it is not all of the part. */
  readonly files?: number | undefined;
  readonly bytes?: number | undefined;
  /** What could not be restored, or not as it was. */
  readonly leftOut?: readonly { readonly table: string; readonly what: string }[] | undefined;
}

/** A kind whose module is loaded when one of its sources or parts is met. */
export interface LazyKind {
  readonly type: string;
  readonly schemes: readonly string[];
  /** The id of the source at an address. */
  identify(url: string, options: SourceUrlOptions): string;
  load(): Promise<SourceKind>;
}

const kinds = new Map<string, SourceKind>();
const lazyKinds = new Map<string, LazyKind>();

/**
 * Makes a kind known. One of the same type is replaced.
 *
 * @example
 * ```ts
 * registerSource({ type: "wiki", schemes: ["wiki"], fromUrl: (url) => new WikiSource(url) });
 * await repository.backup({ source: "wiki:handbook" });
 * ```
 */
export function registerSource(kind: SourceKind): void {
  kinds.set(kind.type, kind);
}

/** The same, without loading it. */
export function registerLazily(kind: LazyKind): void {
  lazyKinds.set(kind.type, kind);
}

/** Undefined where nobody has made it known, or it is not loaded: its parts can be listed, kept and copied, and not be used. */
export function kindOf(type: string): SourceKind | undefined {
  return kinds.get(type);
}

/** Undefined where nobody has made it known. */
export async function loadKind(type: string): Promise<SourceKind | undefined> {
  const lazy = lazyKinds.get(type);
  if (!kinds.has(type) && lazy) registerSource(await lazy.load());
  return kinds.get(type);
}

/** Loads the kinds that a document names, so that it is held to their rules. @param text its first line. */
export async function loadKindsIn(text: string): Promise<void> {
  if (lazyKinds.size === 0) return;
  const named = new Set([...text.matchAll(/"type"\s*:\s*"([^"\\]*)"/g)].map(([, type = ""]) => type));
  for (const type of named) await loadKind(type);
}

/** Who has a scheme: kinds that users have registered go first. */
export function kindOfScheme(scheme: string): SourceKind | LazyKind | undefined {
  const has = ({ schemes = [] }: Pick<SourceKind, "schemes">) => schemes.includes(scheme);
  const kind = [...kinds.values()].find(has);
  if (kind && !lazyKinds.has(kind.type)) return kind;
  return [...lazyKinds.values()].find(has) ?? kind;
}

/** All of them, sorted. */
export function knownSchemes(): string[] {
  const all = [...kinds.values(), ...lazyKinds.values()].flatMap(({ schemes = [] }) => schemes);
  return [...new Set(all)].sort();
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
