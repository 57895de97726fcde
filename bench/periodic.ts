// Measures the periodic manager against its targets: `node scripts/run.mjs node bench/periodic.ts`, on the table of
// 3.4 million rows that `npm run bench:data` makes. `--quick` does it on small data, to show that it works.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect, type Table } from "@lancedb/lancedb";
import type { RecordBatch } from "apache-arrow";
import { loadBackup, PeriodicBackupManager, type PeriodicBackupOptions } from "lancedb-backup";
import { cloneDatabase } from "./data/clone.ts";
import { makeData } from "./data/databases.ts";
import { cache } from "./data/paths.ts";
import { FULL, QUICK } from "./data/sizes.ts";
import { medianOf } from "./harness/measure.ts";

const BATCH_ROWS = 8192;
const RUNS = 5;
const quiet = { debug: noLog, info: noLog, warn: console.warn, error: console.error };

function noLog(): void {
  // a bench prints figures
}

/** A clone of the table of words, and managers for it. */
class Work implements AsyncDisposable {
  readonly root = join(cache, "periodic-work", `${process.pid}-${Math.random().toString(36).slice(2)}`);
  readonly uri = join(this.root, "db");
  readonly backupDir = join(this.root, "backups");

  constructor(database: string) {
    cloneDatabase(database, this.uri);
  }

  manager(options: PeriodicBackupOptions = {}): PeriodicBackupManager {
    const { uri, backupDir } = this;
    return new PeriodicBackupManager({ uri, backupDir, fileFormat: "arrow", logger: quiet, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.root, { recursive: true, force: true });
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function scan(table: Table): Promise<void> {
  const query = table.query() as unknown as {
    execute(options: { maxBatchLength: number }): AsyncIterable<RecordBatch>;
  };
  for await (const batch of query.execute({ maxBatchLength: BATCH_ROWS })) batch.numRows;
}

async function openWords(uri: string): Promise<Table> {
  return (await connect(uri)).openTable("words");
}

let missed = 0;

function tell(what: string, value: number, unit: string, limit?: number): void {
  const verdict = limit === undefined || quick ? "" : value <= limit ? "met" : "NOT MET";
  if (verdict === "NOT MET") missed++;
  const target = limit === undefined ? "" : `≤ ${limit} ${unit}`;
  console.log(
    `${what.padEnd(58)} ${value.toFixed(value < 10 ? 2 : 0).padStart(7)} ${unit.padEnd(3)} ${target.padEnd(10)} ${verdict}`,
  );
}

async function measureFull(words: string): Promise<number> {
  await using work = new Work(words);
  const manager = work.manager();
  const [scans, fulls]: [number[], number[]] = [[], []];
  for (let run = -1; run < RUNS; run++) {
    const table = await openWords(work.uri);
    const scanned = await timed(() => scan(table));
    table.close();
    const full = await timed(() => manager.backupFull());
    rmSync(work.backupDir, { recursive: true });
    if (run < 0) continue;
    scans.push(scanned);
    fulls.push(full);
  }
  tell("plain scan, batches of 8,192", medianOf(scans), "ms");
  tell("full, arrow", medianOf(fulls), "ms");
  tell("full, arrow / plain scan", medianOf(fulls) / medianOf(scans), "×", 2);
  return medianOf(fulls);
}

async function measureDeltas(words: string, full: number): Promise<void> {
  await using work = new Work(words);
  const manager = work.manager({ incremental: true, maxDeltasBeforeFull: 1000 });
  await manager.backupFull();
  const table = await openWords(work.uri);
  const [changed, nothing, noRow]: [number[], number[], number[]] = [[], [], []];
  for (let run = -1; run < RUNS; run++) {
    const first = 1000 + (run + 1) * 100;
    await table.update({ where: `id >= ${first} AND id < ${first + 100}`, values: { word: `w${run}` } });
    const times = [
      await timed(() => manager.backupDelta()),
      await timed(() => manager.backupDelta()),
      await timed(async () => {
        await table.delete("false");
      }),
    ];
    const empty = await timed(() => manager.backupDelta());
    if (run < 0) continue;
    changed.push(times[0] ?? Number.NaN);
    nothing.push(times[1] ?? Number.NaN);
    noRow.push(empty);
  }
  tell("delta of 100 updated rows of one fragment", medianOf(changed), "ms", 300);
  tell("the same, of a full", (medianOf(changed) / full) * 100, "%", 2);
  tell("delta where nothing was committed", medianOf(nothing), "ms", 20);
  tell("delta where a commit changed no row", medianOf(noRow), "ms", 20);
  await table.optimize();
  tell("delta after everything was compacted", await timed(() => manager.backupDelta()), "ms", 50);
  table.close();
}

/** The most that a process of its own has held during one step, beyond what it held before. */
function measureMemory(step: "full" | "load", format: "arrow" | "json", words: string): void {
  const args = [import.meta.filename, "--memory", step, format, words, ...process.argv.slice(2)];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
  const megabytes = Number(/^highest (\d+)$/m.exec(stdout)?.[1]);
  if (status !== 0 || Number.isNaN(megabytes)) throw new Error(stderr || stdout);
  tell(`memory of the whole process, ${step}, ${format}`, megabytes, "MB", 400);
}

async function memoryChild(step: string, format: "arrow" | "json", words: string): Promise<void> {
  await using work = new Work(words);
  if (step === "full") await work.manager({ fileFormat: format }).backupFull();
  else {
    const file = process.env["BENCH_FILE"] ?? "";
    (await loadBackup(file, join(work.root, "loaded"))).close();
  }
  const highest = /^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  console.log(`highest ${Math.round(Number(highest) / 1024)}`);
}

async function measureLoads(words: string, format: "arrow" | "json"): Promise<void> {
  await using work = new Work(words);
  let file = "";
  tell(
    `full, ${format}`,
    await timed(async () => {
      file = await work.manager({ fileFormat: format }).backupFull();
    }),
    "ms",
  );
  tell(
    `load, ${format}`,
    await timed(async () => (await loadBackup(file, join(work.root, "loaded"))).close()),
    "ms",
  );
  rmSync(join(work.root, "loaded"), { recursive: true });
  if (process.platform !== "linux") return;
  measureMemory("full", format, words);
  process.env["BENCH_FILE"] = file;
  measureMemory("load", format, words);
}

process.env["LANCEDB_LOG"] ??= "error";
const quick = process.argv.includes("--quick");
const [flag, step, format, database] = process.argv.slice(2);
if (flag === "--memory") {
  await memoryChild(step ?? "", format === "json" ? "json" : "arrow", database ?? "");
} else {
  const { words } = await makeData(quick ? QUICK : FULL);
  const full = await measureFull(words);
  await measureDeltas(words, full);
  await measureLoads(words, "arrow");
  await measureLoads(words, "json");
  if (missed > 0) console.log(`${missed} targets missed`);
}
