/** Where leases and prune take their time from. Tests set their own. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  now(): number;
  /** Milliseconds on a clock that nobody sets. It may stand still while the machine sleeps. */
  monotonic(): number;
  /** Calls back every `ms` until what it answers with is called. Does not keep the process alive. */
  every(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  every(ms, callback) {
    const timer = setInterval(callback, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};
