/** So many at a time; the others wait in the order in which they came. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async within<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
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
