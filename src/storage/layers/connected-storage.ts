import type { StoredObject } from "../object-name.ts";
import type { CallOptions, Content, ReadOptions, Storage, WriteOptions } from "../storage.ts";
import { StorageLayer } from "./storage-layer.ts";

/**
 * Makes no more calls at once than the storage below bears; others wait for their turn. A read counts until its last piece was
 * taken. Listings do not count: what is listed is looked at meanwhile, and one that waited for the other would wait for ever.
 */
export class ConnectedStorage extends StorageLayer {
  readonly #turns: Turns;

  constructor(below: Storage, connections: number) {
    super(below);
    this.#turns = new Turns(connections);
  }

  override async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    await this.#turns.take(options.signal);
    try {
      yield* this.below.read(name, options);
    } finally {
      this.#turns.giveBack();
    }
  }

  override write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    return this.#turns.run(() => this.below.write(name, content, options), options.signal);
  }

  override writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    return this.#turns.run(() => this.below.writeNew(name, content, options), options.signal);
  }

  override remove(name: string, options: CallOptions = {}): Promise<void> {
    return this.#turns.run(() => this.below.remove(name, options), options.signal);
  }

  override stat(name: string, options: CallOptions = {}): Promise<StoredObject | undefined> {
    return this.#turns.run(() => this.below.stat(name, options), options.signal);
  }
}

/** So many have a turn at once; the others get theirs in the order in which they came. */
class Turns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async run<T>(task: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    await this.take(signal);
    try {
      return await task();
    } finally {
      this.giveBack();
    }
  }

  /** @throws the signal's reason; then no turn was taken. */
  async take(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => {
      if (this.#waiting.delete(resolve)) reject(signal?.reason);
    };
    this.#waiting.add(resolve);
    signal?.addEventListener("abort", abort, { once: true });
    await promise.finally(() => signal?.removeEventListener("abort", abort));
  }

  /** To the next who waits, or for whoever comes. */
  giveBack(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
