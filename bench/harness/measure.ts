import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** One of several ways to do the same work. */
export interface Contender {
  readonly name: string;
  /** Before each run, not measured. */
  readonly before?: () => Promise<void> | void;
  /** Measured as a whole, unless it answers with the milliseconds of the part that counts. */
  readonly run: () => Promise<unknown>;
  /** After each run, not measured. */
  readonly after?: () => Promise<void> | void;
}

/** The times of one contender, milliseconds. */
export interface Sample {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly times: readonly number[];
}

/** Tells `takeTurns` that only a part of a run counts. */
export class Part {
  readonly ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }
}

export interface Turns {
  readonly warmUps?: number;
  /**
   * Milliseconds of rest before each run. Free memory that the system gives back to its host has to be had anew, so
   * that of those who fill much of it the first after another's clean-up would be spared a second.
   */
  readonly restMs?: number;
}

/** Has each contender do its work `runs` times after a warm-up; they take turns, after another one each time. */
export async function takeTurns(
  contenders: readonly Contender[],
  runs: number,
  { warmUps = 1, restMs = 0 }: Turns = {},
): Promise<Sample[]> {
  const times = contenders.map((): number[] => []);
  for (let run = -warmUps; run < runs; run++) {
    for (const index of orderOf(contenders.length, run + warmUps)) {
      const ms = await timeOf(contenders[index] as Contender, restMs);
      if (run >= 0) times[index]?.push(ms);
    }
  }
  return contenders.map(({ name }, index) => sampleOf(name, times[index] ?? []));
}

/** A row of a Williams design, by which each comes after each other equally often: 0, 1, n-1, 2, n-2 and so on, shifted. */
function orderOf(count: number, row: number): number[] {
  const order = Array.from({ length: count }, (_, place) => {
    const zigzag = place % 2 === 1 ? (place + 1) / 2 : count - place / 2;
    return (zigzag + row) % count;
  });
  return count % 2 === 1 && row % 2 === 1 ? order.reverse() : order;
}

async function timeOf({ before, run, after }: Contender, restMs: number): Promise<number> {
  await before?.();
  if (restMs > 0) await sleep(restMs);
  collectGarbage();
  const started = performance.now();
  const result = await run();
  const ms = result instanceof Part ? result.ms : performance.now() - started;
  await after?.();
  return ms;
}

setFlagsFromString("--expose-gc");
/** What one contender left to be collected is not charged to the next. */
const collectGarbage: () => void = runInNewContext("gc");

export function sampleOf(name: string, times: readonly number[]): Sample {
  return { name, median: medianOf(times), min: Math.min(...times), max: Math.max(...times), times };
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
