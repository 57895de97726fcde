/** Where time comes from. Tests set their own. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  now(): number;
  /** Milliseconds on a clock that nobody sets. It may stand still while the machine sleeps. */
  monotonic(): number;
  /** Calls back every `ms` until what it answers with is called. Does not keep the process alive. */
  every(ms: number, callback: () => void): () => void;
}

/** The longest time that Node's timers can wait. */
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  every(ms, callback) {
    const timer = setInterval(callback, Math.min(ms, LONGEST_MS));
    timer.unref();
    return () => clearInterval(timer);
  },
};

/** How far the clocks of machines that work on one thing may be apart, milliseconds. */
const TOLERANCE_MS = 5 * 60_000;

/**
 * Whether a time lies further ahead than clocks differ: then a clock was wrong, and what bears the time is not to be
 * taken for the newest, for as long as that may be.
 */
export function liesInFuture(timeMs: number, nowMs: number): boolean {
  return timeMs > nowMs + TOLERANCE_MS;
}
