import { createHash } from "node:crypto";
import type { Schedule } from "./run-schedule.ts";

/**
 * When a schedule is due next. What it was due for since its last run, however often, is made up once: then the answer lies
 * in the past.
 *
 * @param last when it ran last; undefined: never.
 */
export function nextDue(schedule: Schedule, last: number | undefined, now: number): number {
  return last === undefined ? now : schedule.next(believedLast(schedule, last, now));
}

/**
 * When a schedule ran last, by the clock as it is now. Where that lies in the future, the clock has gone back: what it
 * ran for already is not run again, unless the clock has gone back over more than that; then the schedule begins anew from now.
 */
export function believedLast(schedule: Schedule, last: number, now: number): number {
  if (last <= now) return last;
  const first = schedule.next(now);
  return first <= last && schedule.next(first) > last ? last : now;
}

/** How late a run is made on purpose: from 0 to below `jitterMs`, the same for the same policy and moment. */
export function jitterOf(policy: string, due: number, jitterMs: number): number {
  if (jitterMs === 0) return 0;
  const hash = createHash("sha256").update(`${policy} ${due}`).digest();
  return Math.floor((hash.readUInt32BE(0) / 2 ** 32) * jitterMs);
}
