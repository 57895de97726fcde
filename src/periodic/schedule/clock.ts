/** Where the periodic manager takes its time from. Tests set their own. */
export interface Clock {
  /** Wall clock, milliseconds since 1970 with fractions: for the names of files. */
  now(): number;
  /** Milliseconds on a clock that nobody sets: for intervals. */
  monotonic(): number;
  /** Calls back once after `ms`; answers with what calls it off. Does not keep the process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** The longest time that Node's timers can wait. */
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now() + (performance.now() % 1),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
