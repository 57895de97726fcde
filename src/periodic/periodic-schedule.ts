import type { Clock } from "../util/clock.ts";

interface ScheduleOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  /** Passes at least between a backup and one that a change starts. */
  readonly minIntervalMs: number;
  /** Called when a backup is due. It must not throw, and tells of its backup by `began` and `ended`. */
  readonly run: () => void;
}

/** When the next backup is due. Knows times and nothing else. */
export class Schedule {
  readonly #options: ScheduleOptions;
  #started = false;
  #changed = false;
  #running = 0;
  /** When the last backup ended, on the monotonic clock; undefined where there was none. */
  #last: number | undefined;
  #cancel: (() => void) | undefined;

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  get started(): boolean {
    return this.#started;
  }

  /**
   * Begins. A backup is due at once where there is none, or where the newest is older than the interval.
   *
   * @param age milliseconds since the newest backup; undefined where there is none.
   */
  start(age: number | undefined): void {
    if (this.#started) return;
    this.#started = true;
    const { clock, intervalMs } = this.#options;
    if (this.#last === undefined && age !== undefined) {
      // A clock that was set back makes a backup of the future: it counts as made just now.
      this.#last = clock.monotonic() - Math.min(Math.max(age, 0), intervalMs);
    }
    this.#arm();
  }

  /** Calls the timer off, and forgets changes. What runs goes on. */
  stop(): void {
    this.#started = false;
    this.#changed = false;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Something was written. Until the next start it is only remembered. */
  change(): void {
    this.#changed = true;
    this.#arm();
  }

  /** A backup, of whatever origin, begins: it has every change until now. */
  began(): void {
    this.#running++;
    this.#changed = false;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  ended(): void {
    this.#running--;
    this.#last = this.#options.clock.monotonic();
    this.#arm();
  }

  #arm(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (!this.#started || this.#running > 0) return;
    const { clock, run } = this.#options;
    const wait = Math.max(0, this.#due() - clock.monotonic());
    this.#cancel = clock.every(wait, () => {
      this.#cancel?.();
      this.#cancel = undefined;
      if (this.#due() > clock.monotonic())
        this.#arm(); // a timer has a longest time, and may fire a little early
      else run();
    });
  }

  #due(): number {
    if (this.#last === undefined) return Number.NEGATIVE_INFINITY;
    const { intervalMs, minIntervalMs } = this.#options;
    const soon = this.#changed ? minIntervalMs : intervalMs;
    return this.#last + Math.min(soon, intervalMs);
  }
}
