import type { Connection } from "@lancedb/lancedb";
import type { Table as ArrowTable } from "apache-arrow";
import { BackupStrategy } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import { insertRows } from "../data/rows.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { Workplace } from "../harness/workplace.ts";

const LIMITS: Record<BackupStrategy, number> = { "directory-copy": 1.25, "lance-version": 1.1 };

async function addRows(db: Connection, rows: ArrowTable): Promise<void> {
  const table = await db.openTable("documents");
  await table.add(rows);
}

function plain(place: Workplace, rows: ArrowTable): Contender {
  return {
    name: "plain add",
    before: () => settleDisk(place.root),
    run: async () => addRows(await place.manager.connection(), rows),
  };
}

function guarded(place: Workplace, rows: ArrowTable, strategy: BackupStrategy): Contender {
  return {
    name: `add in withBackup, ${strategy}`,
    before: () => settleDisk(place.root),
    run: () => place.manager.withBackup(strategy, (db) => addRows(db, rows)),
  };
}

/** Inserts of the same rows, guarded and not; each contender has a clone of its own, and all grow alike. */
export async function measureInserts(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  const rows = insertRows(sizes.insertRows, 99);
  const one = insertRows(1, 99);
  return [...(await measure(data, sizes, rows)), ...(await measure(data, sizes, one))];
}

async function measure(data: BenchData, sizes: Sizes, rows: ArrowTable): Promise<Figure[]> {
  await using alone = new Workplace(data.inserts);
  await using copied = new Workplace(data.inserts);
  await using pinned = new Workplace(data.inserts);
  const { DirectoryCopy, LanceVersion } = BackupStrategy;
  const [bare, copy, pin] = (await takeTurns(
    [plain(alone, rows), guarded(copied, rows, DirectoryCopy), guarded(pinned, rows, LanceVersion)],
    sizes.runs.short,
    2,
  )) as [Sample, Sample, Sample];
  const count = rows.numRows.toLocaleString("en");
  const target = (strategy: BackupStrategy) =>
    rows.numRows > 1 ? { kind: "most" as const, limit: LIMITS[strategy] } : undefined;
  return [
    time(`plain add of ${count} × 128`, bare),
    ratio(`the same in withBackup lance-version / plain`, pin, bare, target(LanceVersion)),
    ratio(`the same in withBackup directory-copy / plain`, copy, bare, target(DirectoryCopy)),
  ];
}
