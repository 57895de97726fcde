import type { Clock } from "../../src/util/clock.ts";

/** A clock that stands still until it is told to go on. */
export class TestClock implements Clock {
  #now: number;
  #monotonic = 0;
  readonly #timers = new Set<{ readonly ms: number; due: number; readonly callback: () => void }>();

  constructor(now: string | number | Date = "2026-11-05T12:00:00.000Z") {
    this.#now = new Date(now).getTime();
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  every(ms: number, callback: () => void): () => void {
    const timer = { ms, due: this.#monotonic + ms, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Time goes on, and timers ring; what each begins is given `settleMs` of real time to be done. */
  async pass(ms: number, settleMs = 15): Promise<void> {
    const end = this.#monotonic + ms;
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.due - b.due);
      if (!next || next.due > end) break;
      this.#move(next.due - this.#monotonic);
      next.due += next.ms;
      next.callback();
      await new Promise((resolve) => setTimeout(resolve, settleMs));
    }
    this.#move(end - this.#monotonic);
  }

  /** The machine sleeps: only the wall clock goes on, and no timer rings. */
  sleep(ms: number): void {
    this.#now += ms;
  }

  #move(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
  }
}
