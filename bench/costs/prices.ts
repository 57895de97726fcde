import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { cache } from "../data/paths.ts";
import { type Sample, sampleOf } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { KINDS, type Kind } from "./calls.ts";

/** Calls in one run; what is measured is their mean. */
const IN_A_ROW = 50;

const CONTENT = Buffer.alloc(500, "x");

export type Prices = Readonly<Record<Kind, Sample>>;

/** What one call of each kind takes on the bench's disk, milliseconds. */
export function measurePrices(runs: number): Prices {
  const times = KINDS.map((): number[] => []);
  for (let run = -1; run < runs; run++) {
    const spent = priceOnce();
    if (run >= 0) KINDS.forEach((kind, index) => void times[index]?.push(spent[kind])); // the first warms up
  }
  return Object.fromEntries(
    KINDS.map((kind, index) => [kind, sampleOf(kind, times[index] ?? [])]),
  ) as unknown as Prices;
}

function priceOnce(): Record<Kind, number> {
  const root = join(cache, "work", `prices-${process.pid}`);
  const path = (name: string, n: number) => join(root, `${name}${n}`);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  settleDisk(root);
  const mean = (call: (n: number) => void) => {
    const started = performance.now();
    for (let n = 0; n < IN_A_ROW; n++) call(n);
    return (performance.now() - started) / IN_A_ROW;
  };
  const files = mean((n) => write(path("file", n), false));
  const spent = {
    files,
    directories: mean((n) => mkdirSync(path("directory", n))),
    links: mean((n) => linkSync(path("file", n), path("link", n))),
    renames: mean((n) => renameSync(path("link", n), path("renamed", n))),
    removals: mean((n) => unlinkSync(path("renamed", n))),
    syncs: mean((n) => write(path("synced", n), true)) - files,
  };
  rmSync(root, { recursive: true, force: true });
  return spent;
}

function write(path: string, sync: boolean): void {
  const file = openSync(path, "wx");
  try {
    writeSync(file, CONTENT);
    if (sync) fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
