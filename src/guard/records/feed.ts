import { reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import { lengthOf, type Piece, roughBytes, type Source } from "../write/row-source.ts";
import { abortable } from "./abortable.ts";

/** What is looked at before the types of a new table's columns are settled, where not all rows can be. */
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
