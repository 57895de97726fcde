import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, time } from "../harness/figure.ts";
import { medianOf, sampleOf } from "../harness/measure.ts";
import { installed } from "../harness/tools.ts";
import { type Calls, countCalls, KINDS } from "./calls.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { measurePrices, type Prices } from "./prices.ts";

/** Milliseconds of one run, and of the processors' time in it, by all threads. */
export interface Spent {
  readonly wall: number;
  readonly user: number;
  readonly system: number;
}

const child = join(import.meta.dirname, "..", "costs-child.ts");

const NAMES = {
  files: "a small file made",
  directories: "a directory made",
  links: "a link made",
  renames: "a rename",
  removals: "a file removed",
  syncs: "a small new file synced",
} as const;

/** What calls that change a directory or wait for the disk take here, and how many of them operations make. */
export function measureCosts(data: BenchData, sizes: Sizes): Figure[] {
  const prices = measurePrices(sizes.runs.short);
  const figures = KINDS.map((kind) => time(NAMES[kind], prices[kind]));
  for (const [operation, database] of Object.entries(OPERATIONS) as [Operation, keyof BenchData][]) {
    const args = [child, operation, data[database] as string];
    const { wall, user, system } = spentOn([...args, String(sizes.runs.short)]);
    const cpu = `${user.toFixed(1)} ms of user and ${system.toFixed(1)} ms of system time`;
    const madeOf = [cpu, ...(installed("strace") ? [told(countCalls(args), prices)] : [])].join("; ");
    figures.push({ ...time(operation, sampleOf(operation, wall)), madeOf });
  }
  return figures;
}

function spentOn(args: readonly string[]): { wall: number[]; user: number; system: number } {
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${args.join(" ")} failed: ${stderr || stdout}`);
  const spent = JSON.parse(stdout) as Spent[];
  const medianOfAll = (field: keyof Spent) => medianOf(spent.map((one) => one[field]));
  return { wall: spent.map(({ wall }) => wall), user: medianOfAll("user"), system: medianOfAll("system") };
}

function told(calls: Calls, prices: Prices): string {
  const some = KINDS.filter((kind) => calls[kind] > 0);
  const sum = some.reduce((all, kind) => all + calls[kind] * prices[kind].median, 0);
  return `${some.map((kind) => `${calls[kind]} ${kind}`).join(", ")}: ${sum.toFixed(1)} ms`;
}
