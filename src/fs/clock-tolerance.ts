/** How far the clocks of machines that work on one thing may be apart, milliseconds. */
const TOLERANCE_MS = 5 * 60_000;

/**
 * Whether a time lies further ahead than clocks differ: then a clock was wrong, and what bears the time is not to be
 * taken for the newest, for as long as that may be.
 */
export function liesInFuture(timeMs: number, nowMs: number): boolean {
  return timeMs > nowMs + TOLERANCE_MS;
}
