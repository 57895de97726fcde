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

  async within<T>(work: (slot: Slot) => Promise<T>): Promise<T> {
    await this.#take();
    let isHeld = true;
    const leave = () => {
      if (isHeld) this.#give();
      isHeld = false;
    };
    const enter = async (signal: AbortSignal) => {
      if (isHeld) return;
      await this.#take(signal);
      isHeld = true;
    };
    try {
      return await work({ leave, enter });
    } finally {
      leave();
    }
  }

  async #take(signal?: AbortSignal): Promise<void> {
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

  #give(): void {
    const [next] = this.#waiting;
    if (!next) this.#free++;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}

/** Waits for the end, so long, and until the signal is aborted. */
export async function within(ended: Promise<unknown>, ms: number, signal: AbortSignal): Promise<void> {
  const over = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => over.resolve(), { once: true });
  // Timers take no longer ones: they would end at once.
  const timer = ms < 2 ** 31 ? setTimeout(over.resolve, ms) : undefined;
  await Promise.race([ended, over.promise]);
  clearTimeout(timer);
}
