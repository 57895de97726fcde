import { join } from "node:path";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, time } from "../harness/figure.ts";
import { sampleOf } from "../harness/measure.ts";
import { installed } from "../harness/tools.ts";
import { type Calls, countCalls, KINDS } from "./calls.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { measurePrices } from "./prices.ts";

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
  if (!installed("strace")) return figures;
  for (const [operation, database] of Object.entries(OPERATIONS) as [Operation, keyof BenchData][]) {
    const calls = countCalls([child, operation, data[database] as string]);
    const sum = KINDS.reduce((all, kind) => all + calls[kind] * prices[kind].median, 0);
    figures.push({ ...time(`calls of: ${operation}`, sampleOf(operation, [sum])), madeOf: told(calls) });
  }
  return figures;
}

function told(calls: Calls): string {
  const some = KINDS.filter((kind) => calls[kind] > 0);
  return some.map((kind) => `${calls[kind]} ${kind}`).join(", ") || "none";
}
