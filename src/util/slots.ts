/** A place among so many; whoever has it may give it to others for a while. */
export interface Slot {
  leave(): void;
  /** Waits for a place again. @throws the signal's reason, when that is aborted first */
  enter(signal: AbortSignal): Promise<void>;
}

/** So many at a time; the others wait in the order in which they came. */
export class Slots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  async within<T>(work: (slot: Slot) => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.take(signal);
    let isHeld = true;
    const leave = () => {
      if (isHeld) this.give();
      isHeld = false;
    };
    const enter = async (signal: AbortSignal) => {
      if (isHeld) return;
      await this.take(signal);
      isHeld = true;
    };
    try {
      return await work({ leave, enter });
    } finally {
      leave();
    }
  }

  /** Waits for a place. @throws the signal's reason, when that is aborted first; then none was taken */
  async take(signal?: AbortSignal): Promise<void> {
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
  give(): void {
    const [next] = this.#waiting;
    if (!next) this.#free++;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
