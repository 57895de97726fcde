import { show } from "../../arrow/bad-value.ts";
import { type BatchLike, isBatchLike, isTableLike, type TableLike } from "../../arrow/schemas.ts";
import { ValidationError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import { abortable } from "../../util/abortable.ts";

/**
 * Rows as objects, arrays of them, Arrow tables and record batches (of any copy of apache-arrow), in any
 * mix, in an array or any other iterable.
 */
export type RecordsInput = Iterable<object> | AsyncIterable<object> | TableLike | BatchLike;

/** The same, where a row may also be a bare key. */
export type KeysInput = Iterable<unknown> | AsyncIterable<unknown> | TableLike | BatchLike;

/** A run of the caller's rows, or a record batch. `from` counts the rows before it in the whole input. */
export type Piece =
  | { readonly kind: "rows"; readonly rows: readonly unknown[]; readonly from: number }
  | { readonly kind: "batch"; readonly batch: BatchLike; readonly from: number };

/** What the caller handed over. `held`: it lies in memory whole and can be read twice; otherwise once. */
export interface Source {
  readonly held: boolean;
  pieces(): AsyncGenerator<Piece, void, undefined>;
}

/** Rows that an iterable gives one by one are taken together, up to this many, or this weight. */
const ROWS_AT_ONCE = 1024;
const BYTES_AT_ONCE = 1024 * 1024;

/**
 * Reads rows as objects, arrays of them, Arrow tables and record batches, in any mix, from an array or from
 * any sync or async iterable. Errors of the caller's iterable come out as they are, and the iterable is
 * closed when reading stops early.
 */
export function openSource(data: unknown, what = "data"): Source {
  if (isTableLike(data) || isBatchLike(data)) return { held: true, pieces: () => piecesOf([data]) };
  if (Array.isArray(data)) return { held: true, pieces: () => piecesOf(data) };
  if (typeof data === "object" && data !== null) {
    if (Symbol.asyncIterator in data)
      return { held: false, pieces: () => piecesOf(data as AsyncIterable<unknown>) };
    if (Symbol.iterator in data && !ArrayBuffer.isView(data)) {
      return { held: false, pieces: () => piecesOf(data as Iterable<unknown>) };
    }
  }
  throw new ValidationError(
    `The ${what} must be an array of rows, an Arrow table, record batches, or an iterable of these, not ${show(data)}.`,
  );
}

async function* piecesOf(
  items: Iterable<unknown> | AsyncIterable<unknown>,
): AsyncGenerator<Piece, void, undefined> {
  if (Array.isArray(items) && !items.some(isContainer)) {
    if (items.length > 0) yield { kind: "rows", rows: items, from: 0 };
    return;
  }
  let from = 0;
  let loose: unknown[] = [];
  let weight = 0;
  for await (const item of items) {
    const container = isContainer(item);
    if (!container) {
      loose.push(item);
      weight += roughBytes(item);
      if (loose.length < ROWS_AT_ONCE && weight < BYTES_AT_ONCE) continue;
    }
    if (loose.length > 0) yield { kind: "rows", rows: loose, from };
    from += loose.length;
    loose = [];
    weight = 0;
    if (!container) continue;
    for (const piece of containerPieces(item, from)) {
      yield piece;
      from += lengthOf(piece);
    }
  }
  if (loose.length > 0) yield { kind: "rows", rows: loose, from };
}

/** How many rows a piece has. */
export function lengthOf(piece: Piece): number {
  return piece.kind === "rows" ? piece.rows.length : piece.batch.data.length;
}

/** About how much memory a row takes; only its order of magnitude matters. */
function roughBytes(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 8;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (Array.isArray(value)) return value.length * 8;
  let bytes = 8;
  for (const inner of Object.values(value))
    bytes += typeof inner === "string" ? inner.length : shallowBytes(inner);
  return bytes;
}

function shallowBytes(value: unknown): number {
  if (ArrayBuffer.isView(value)) return value.byteLength;
  return Array.isArray(value) ? value.length * 8 : 8;
}

function isContainer(item: unknown): boolean {
  return Array.isArray(item) || isTableLike(item) || isBatchLike(item);
}

function* containerPieces(item: unknown, from: number): Generator<Piece> {
  if (Array.isArray(item)) {
    if (item.length > 0) yield { kind: "rows", rows: item, from };
  } else if (isTableLike(item) || isBatchLike(item)) {
    let at = from;
    for (const batch of isTableLike(item) ? item.batches : [item]) {
      if (batch.data.length === 0) continue;
      yield { kind: "batch", batch, from: at };
      at += batch.data.length;
    }
  }
}

/** What is looked at before the types of a new table's columns are chosen, where not all rows can be. */
const ROWS_AHEAD = 1000;
const BYTES_AHEAD = 4 * 1024 * 1024;

/**
 * A source that is being read. Its first piece is there from the start, so that an empty source is known
 * before anything else happens. Errors of the caller's iterable come out unchanged.
 */
export class Feed {
  readonly held: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #logger: Logger;
  readonly #rest: AsyncGenerator<Piece, void, undefined>;
  #head: Piece[] = [];

  private constructor(source: Source, signal: AbortSignal | undefined, logger: Logger) {
    this.held = source.held;
    this.#signal = signal;
    this.#logger = logger;
    this.#rest = source.pieces();
  }

  static async open(source: Source, signal: AbortSignal | undefined, logger: Logger): Promise<Feed> {
    const feed = new Feed(source, signal, logger);
    try {
      await feed.#readAhead(source.held ? Number.POSITIVE_INFINITY : 1, Number.POSITIVE_INFINITY);
    } catch (error) {
      await feed.close();
      throw error;
    }
    return feed;
  }

  /** The first pieces; all of them where the source is held in memory. */
  get head(): readonly Piece[] {
    return this.#head;
  }

  get isEmpty(): boolean {
    return this.#head.length === 0;
  }

  /** Reads on until the first pieces show what the columns of a new table hold. */
  async lookAhead(): Promise<void> {
    if (this.#head[0]?.kind !== "batch") await this.#readAhead(ROWS_AHEAD, BYTES_AHEAD);
  }

  /** Every piece. A held source can be read again; another only once. */
  async *pieces(): AsyncGenerator<Piece, void, undefined> {
    yield* this.#head;
    if (!this.held) this.#head = [];
    for (let piece = await this.#next(); piece !== undefined; piece = await this.#next()) yield piece;
  }

  /**
   * Tells the caller's iterable that no more is wanted. One that is stuck is not waited for after an abort. Never
   * throws: by then the write has failed for a reason of its own, or it is done.
   */
  async close(): Promise<void> {
    const closing = this.#rest.return().then(
      () => undefined,
      (error: unknown) =>
        this.#logger.warn("the rows' iterable failed when it was closed", {
          error: reasonOf(error),
        }),
    );
    if (!this.#signal?.aborted) await closing;
  }

  async #readAhead(rows: number, bytes: number): Promise<void> {
    const enough = () =>
      sum(this.#head, lengthOf) >= rows ||
      sum(this.#head, (piece) => lengthOf(piece) * weightOf(piece)) >= bytes;
    while (!enough()) {
      const piece = await this.#next();
      if (piece === undefined) return;
      this.#head.push(piece);
    }
  }

  async #next(): Promise<Piece | undefined> {
    const next = await abortable(() => this.#rest.next(), this.#signal);
    return next.done ? undefined : next.value;
  }
}

/** Bytes of one of its rows, roughly. */
function weightOf(piece: Piece): number {
  return piece.kind === "rows" ? roughBytes(piece.rows[0]) : 0;
}

function sum(pieces: readonly Piece[], measure: (piece: Piece) => number): number {
  return pieces.reduce((total, piece) => total + measure(piece), 0);
}
