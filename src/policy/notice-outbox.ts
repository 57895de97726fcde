/** So many notices go out by themselves within a window. */
const MOST_ALONE = 3;

/**
 * Decides for one receiver which notices go out by themselves, and which are told together: where three have gone out within the window,
 * those that follow are held until another is over, and go in one; and so on while more come. Moments are milliseconds since 1970.
 */
export class NoticeOutbox<T> {
  readonly windowMs: number;
  /** When notices went out by themselves. */
  #alone: number[] = [];
  #held: T[] = [];
  /** Since when all that come are held; undefined: they are not. */
  #since: number | undefined;

  constructor(windowMs: number) {
    this.windowMs = windowMs;
  }

  /** Whether one that comes now goes out by itself; it counts as gone. If not, it is to be held. */
  mayGo(now: number): boolean {
    if (this.#since !== undefined) return false;
    this.#alone = this.#alone.filter((at) => this.#isWithin(at, now));
    if (this.#alone.length >= MOST_ALONE) return false;
    this.#alone.push(now);
    return true;
  }

  hold(one: T, now: number): void {
    this.#since ??= now;
    this.#held.push(one);
  }

  /** What is to go out now, in one. @param isEnd whether nothing may wait any longer */
  release(now: number, isEnd: boolean): readonly T[] {
    if (this.#since === undefined || (!isEnd && this.#isWithin(this.#since, now))) return [];
    const held = this.#held;
    this.#held = [];
    this.#since = held.length > 0 && !isEnd ? now : undefined;
    return held;
  }

  /** How long what is held has to wait; undefined: nothing is. */
  remainingMs(now: number): number | undefined {
    if (this.#since === undefined || this.#held.length === 0) return undefined;
    return this.#isWithin(this.#since, now) ? this.#since + this.windowMs - now : 0;
  }

  /** Where the clock has gone back, it is not known how long ago that was. */
  #isWithin(at: number, now: number): boolean {
    return at <= now && now - at < this.windowMs;
  }
}
