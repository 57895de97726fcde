import type { Connection, Data } from "@lancedb/lancedb";
import type { Table as ArrowTable } from "apache-arrow";
import { BackupStrategy, insertRecordsWithBackup } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import { insertRows } from "../data/rows.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, Part, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { Workplace } from "../harness/workplace.ts";

const LIMITS: Record<BackupStrategy, number> = { "directory-copy": 1.25, "lance-version": 1.1 };

/**
 * Inserts in one run: what is measured is their mean. A single one would be unfair to guarded work, which
 * waits for the disk after its insert, so that the garbage of LanceDB's add is collected within its time.
 */
const IN_A_ROW = 5;

async function addRows(db: Connection, rows: Data): Promise<void> {
  const table = await db.openTable("documents");
  await table.add(rows);
}

function inARow(name: string, place: Workplace, insert: () => Promise<void>): Contender {
  return {
    name,
    before: () => settleDisk(place.root),
    run: async () => {
      const started = performance.now();
      for (let count = 0; count < IN_A_ROW; count++) await insert();
      return new Part((performance.now() - started) / IN_A_ROW);
    },
  };
}

function plain(place: Workplace, rows: Data): Contender {
  return inARow("plain add", place, async () => addRows(await place.manager.connection(), rows));
}

function guarded(place: Workplace, rows: Data, strategy: BackupStrategy): Contender {
  const name = `add in withBackup, ${strategy}`;
  return inARow(name, place, () => place.manager.withBackup(strategy, (db) => addRows(db, rows)));
}

/** What a user with objects calls. */
function helper(place: Workplace, rows: Record<string, unknown>[], strategy: BackupStrategy): Contender {
  const options = { table: "documents", strategy, manager: place.manager };
  return inARow(`insertRecordsWithBackup, ${strategy}`, place, async () => {
    await insertRecordsWithBackup(rows, options);
  });
}

async function measureHelper(
  data: BenchData,
  sizes: Sizes,
  rows: Record<string, unknown>[],
): Promise<Figure[]> {
  await using alone = new Workplace(data.inserts);
  await using copied = new Workplace(data.inserts);
  await using pinned = new Workplace(data.inserts);
  const { DirectoryCopy, LanceVersion } = BackupStrategy;
  const [bare, copy, pin] = (await takeTurns(
    [plain(alone, rows), helper(copied, rows, DirectoryCopy), helper(pinned, rows, LanceVersion)],
    Math.max(sizes.runs.long, Math.ceil(sizes.runs.short / 3)),
    2,
  )) as [Sample, Sample, Sample];
  const target = (strategy: BackupStrategy) => ({ kind: "most" as const, limit: LIMITS[strategy] });
  return [
    ratio("insertRecordsWithBackup of objects, lance-version / plain add", pin, bare, target(LanceVersion)),
    ratio(
      "insertRecordsWithBackup of objects, directory-copy / plain add",
      copy,
      bare,
      target(DirectoryCopy),
    ),
  ];
}

/** Inserts of the same rows, guarded and not; each contender has a clone of its own, and all grow alike. */
export async function measureInserts(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  const count = sizes.insertRows;
  const rows = insertRows(count, 99);
  const shown = count.toLocaleString("en");
  return [
    ...(await measure(data, sizes, `${shown} × 128, Arrow`, rows, LIMITS)),
    ...(await measure(data, sizes, `${shown} × 128, objects`, asObjects(rows))),
    ...(await measureHelper(data, sizes, asObjects(rows))),
    ...(await measure(data, sizes, "1 × 128, Arrow", insertRows(1, 99))),
  ];
}

function asObjects(rows: ArrowTable): Record<string, unknown>[] {
  return rows.toArray().map(({ id, vector }) => ({ id, vector: Array.from(vector as Iterable<number>) }));
}

async function measure(
  data: BenchData,
  sizes: Sizes,
  what: string,
  rows: Data,
  limits?: Record<BackupStrategy, number>,
): Promise<Figure[]> {
  await using alone = new Workplace(data.inserts);
  await using copied = new Workplace(data.inserts);
  await using pinned = new Workplace(data.inserts);
  const { DirectoryCopy, LanceVersion } = BackupStrategy;
  const [bare, copy, pin] = (await takeTurns(
    [plain(alone, rows), guarded(copied, rows, DirectoryCopy), guarded(pinned, rows, LanceVersion)],
    Math.max(sizes.runs.long, Math.ceil(sizes.runs.short / 3)),
    2,
  )) as [Sample, Sample, Sample];
  const target = (strategy: BackupStrategy) => limits && { kind: "most" as const, limit: limits[strategy] };
  return [
    time(`plain add of ${what}`, bare),
    ratio("  in withBackup lance-version / plain", pin, bare, target(LanceVersion)),
    ratio("  in withBackup directory-copy / plain", copy, bare, target(DirectoryCopy)),
  ];
}
