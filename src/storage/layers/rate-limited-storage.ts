import { setTimeout as sleep } from "node:timers/promises";
import { types } from "node:util";
import { ValidationError } from "../../errors.ts";
import type { StoredObject } from "../object-name.ts";
import { piecesOf } from "../pieces.ts";
import type { CallOptions, Content, ReadOptions, Storage, WriteOptions } from "../storage.ts";
import { StorageLayer } from "./storage-layer.ts";

/** How much of a connection is used. */
export interface RateLimits {
  /** Bytes a second that are written to a store, on average: objects of up to 16 MiB each go at once. Default: no limit. */
  readonly limitUpload?: number | undefined;
  /** Bytes a second that are read from a store, on average. Default: no limit. */
  readonly limitDownload?: number | undefined;
  /** Calls a second, of every kind together: a listing of several pages is one. Default: no limit. */
  readonly limitRequests?: number | undefined;
}

/**
 * Keeps calls within rates. What is read and what is written is limited each by itself; a wait ends at once with the signal of the
 * call.
 */
export class RateLimitedStorage extends StorageLayer {
  readonly #up: Pace;
  readonly #down: Pace;
  readonly #requests: Pace;

  constructor(below: Storage, limits: RateLimits) {
    super(below);
    this.#up = new Pace(limits.limitUpload);
    this.#down = new Pace(limits.limitDownload);
    this.#requests = new Pace(limits.limitRequests);
  }

  override async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { signal } = options;
    await this.#requests.take(1, signal);
    for await (const piece of this.below.read(name, options)) {
      await this.#down.take(piece.length, signal);
      yield piece;
    }
  }

  override async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    await this.#requests.take(1, options.signal);
    await this.below.write(name, await this.#paced(content, options.signal), options);
  }

  override async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    await this.#requests.take(1, options.signal);
    return this.below.writeNew(name, await this.#paced(content, options.signal), options);
  }

  override async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<StoredObject> {
    await this.#requests.take(1, options.signal);
    yield* this.below.list(prefix, options);
  }

  override async remove(name: string, options: CallOptions = {}): Promise<void> {
    await this.#requests.take(1, options.signal);
    return this.below.remove(name, options);
  }

  override async stat(name: string, options: CallOptions = {}): Promise<StoredObject | undefined> {
    await this.#requests.take(1, options.signal);
    return this.below.stat(name, options);
  }

  async #paced(content: Content, signal: AbortSignal | undefined): Promise<Content> {
    if (!types.isUint8Array(content)) return this.#pacedPieces(content, signal);
    await this.#up.take(content.length, signal);
    return content;
  }

  async *#pacedPieces(
    content: AsyncIterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    for await (const piece of piecesOf(content, signal)) {
      await this.#up.take(piece.length, signal);
      yield piece;
    }
  }
}

/** Lets so much a second pass: what comes waits until what came before it has had its time. */
class Pace {
  readonly #msEach: number;
  /** When the next may pass, by `performance.now()`. */
  #free = 0;

  constructor(perSecond = Number.POSITIVE_INFINITY) {
    this.#msEach = 1000 / perSecond;
  }

  async take(amount: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const now = performance.now();
    const start = Math.max(this.#free, now);
    this.#free = start + amount * this.#msEach;
    if (start <= now) return;
    await sleep(start - now, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
}

/** @throws TypeError, ValidationError */
export function assertRates(limits: RateLimits): void {
  for (const [name, rate] of Object.entries(limits) as [string, unknown][]) {
    if (rate === undefined) continue;
    if (typeof rate !== "number")
      throw new TypeError(`${name} must be a number per second, not ${typeof rate}.`);
    if (!(rate > 0)) throw new ValidationError(`${name} must be more than 0 per second, not ${rate}.`);
  }
}
