// How much this process grows during one backup or rollback of the table of words, after a warm-up on a small
// table: node bench/memory-child.ts <words database> <small database> <strategy> <step>. For bench/guard/memory.ts.
import { readFileSync, writeFileSync } from "node:fs";
import type { Table as ArrowTable } from "apache-arrow";
import type { BackupStrategy } from "lancedb-backup";
import { insertRows } from "./data/rows.ts";
import { wordRows } from "./data/words.ts";
import type { MemoryStep } from "./guard/memory.ts";
import { Workplace } from "./harness/workplace.ts";

const [words, small, strategy, step] = process.argv.slice(2) as [string, string, BackupStrategy, MemoryStep];

class Broken extends Error {}

const MB = 1024;

async function warmUp(): Promise<void> {
  await using place = new Workplace(small);
  for (const each of ["create", "restore", "failing-work"] as const) {
    await highestDuring(place, "small0", insertRows(10, 7), each);
  }
}

/** Kilobytes by which the process was above its size before, at its highest. */
async function highestDuring(
  { manager }: Workplace,
  name: string,
  rows: ArrowTable,
  step: MemoryStep,
): Promise<number> {
  const db = await manager.connection();
  if (step === "create") {
    const watch = new Watch();
    const id = await manager.createBackup(strategy);
    const grown = watch.stop();
    await manager.cleanupBackup(id);
    return grown;
  }
  if (step === "restore") {
    const id = await manager.createBackup(strategy);
    const table = await db.openTable(name);
    await table.add(rows);
    const watch = new Watch();
    await manager.restoreBackup(id);
    const grown = watch.stop();
    await manager.cleanupBackup(id);
    return grown;
  }
  const watch = new Watch();
  try {
    await manager.withBackup(strategy, async (db) => {
      const table = await db.openTable(name);
      await table.add(rows);
      throw new Broken();
    });
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
  }
  return watch.stop();
}

/** Linux counts the highest size since it was last reset; elsewhere the process is looked at now and then. */
class Watch {
  readonly #before: number;
  readonly #linux = process.platform === "linux";
  #highest = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    if (this.#linux) writeFileSync("/proc/self/clear_refs", "5");
    else this.#timer = setInterval(() => this.#look(), 1);
    this.#before = this.#linux ? status("VmRSS") : process.memoryUsage.rss() / 1024;
  }

  stop(): number {
    clearInterval(this.#timer);
    this.#look();
    return this.#highest - this.#before;
  }

  #look(): void {
    const now = this.#linux ? status("VmHWM") : process.memoryUsage.rss() / 1024;
    this.#highest = Math.max(this.#highest, now);
  }
}

function status(field: "VmRSS" | "VmHWM"): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
}

await warmUp();
await using place = new Workplace(words);
const rows = wordRows(10);
console.log(`grown ${((await highestDuring(place, "words", rows, step)) / MB).toFixed(1)}`);
