/** Aborts its signal when its time is over. While it is paused, no time passes. It does not keep the process alive. */
export class TimeLimit implements Disposable {
  readonly #controller = new AbortController();
  #remainingMs: number;
  #since = performance.now();
  #timer: NodeJS.Timeout | undefined;

  /** @param ms at most as long as Node's timers can wait, 24 days. */
  constructor(ms: number) {
    this.#remainingMs = ms;
    this.resume();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  pause(): void {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#remainingMs -= performance.now() - this.#since;
  }

  resume(): void {
    if (this.#timer) return;
    this.#since = performance.now();
    const late = () => this.#controller.abort(new Error("the time is over"));
    this.#timer = setTimeout(late, Math.max(this.#remainingMs, 0)).unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
