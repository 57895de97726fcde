import { connect, type Table } from "@lancedb/lancedb";
import { applyDelta, restoreLatest } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, sampleOf, takeTurns } from "../harness/measure.ts";
import { quiet } from "../harness/quiet.ts";
import { settleDisk } from "../harness/sync.ts";
import { PeriodicPlace } from "./place.ts";

const CHANGED = 100;
const TABLE = "words";

/** Deltas after a full of the table of words, and their replay. */
export async function measureDeltas(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  return [
    ...(await measureInARow(data, sizes, "arrow")),
    ...(await measureInARow(data, sizes, "json")),
    ...(await measureAfterFulls(data, sizes)),
  ];
}

/** One chain: what a delta costs by what was committed before it. */
async function measureInARow(data: BenchData, sizes: Sizes, fileFormat: "arrow" | "json"): Promise<Figure[]> {
  using place = new PeriodicPlace(data.wordsWithoutIndex);
  const manager = place.manager({ fileFormat, incremental: true, maxDeltasBeforeFull: 1_000_000 });
  await manager.backupFull();
  const db = await connect(place.uri);
  const table = await db.openTable(TABLE);
  let run = 0;
  const delta = (name: string, change: () => Promise<unknown>): Contender => ({
    name: `${name}, ${fileFormat}`,
    before: async () => {
      await change();
      settleDisk(place.root);
    },
    run: () => manager.backupDelta(),
  });
  const [changed, nothing, noRow] = (await takeTurns(
    [
      delta(`delta of ${CHANGED} updated rows of one fragment`, () => update(table, ++run)),
      delta("delta where nothing was committed", async () => undefined),
      delta("delta where a commit changed no row", () => table.delete("false")),
    ],
    sizes.runs.long,
  )) as [Sample, Sample, Sample];
  table.close();
  db.close();
  return [time(changed.name, changed, 300), time(nothing.name, nothing, 20), time(noRow.name, noRow, 20)];
}

/** A chain anew each time: a full, a delta of some rows, one after everything was compacted, and all of it replayed. */
async function measureAfterFulls(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  const times: Record<"full" | "delta" | "compacted" | "restored" | "applied", number[]> = {
    full: [],
    delta: [],
    compacted: [],
    restored: [],
    applied: [],
  };
  for (let run = -1; run < sizes.runs.slow; run++) {
    using place = new PeriodicPlace(data.wordsWithoutIndex);
    const manager = place.manager({ incremental: true });
    const db = await connect(place.uri);
    const table = await db.openTable(TABLE);
    const measured = async (into: number[], work: () => Promise<unknown>) => {
      settleDisk(place.root);
      const started = performance.now();
      await work();
      if (run >= 0) into.push(performance.now() - started); // the first round warms up
    };
    await measured(times.full, () => manager.backupFull());
    await update(table, 1);
    let file: string | null = null;
    await measured(times.delta, async () => {
      file = await manager.backupDelta();
    });
    if (!file) throw new Error("no delta of the updated rows");
    await table.optimize();
    await measured(times.compacted, () => manager.backupDelta());
    table.close();
    db.close();
    const target = place.clear("restored");
    await measured(times.restored, async () => {
      await restoreLatest(place.backupDir, target, { logger: quiet });
      settleDisk(place.root);
    });
    await measured(times.applied, () => applyDelta(target, file ?? ""));
  }
  const [full, delta] = [sampleOf("full", times.full), sampleOf("delta", times.delta)];
  const compacted = sampleOf("delta after everything was compacted", times.compacted);
  return [
    ratio("delta of the first such rows / the full before it", delta, full, { kind: "most", limit: 0.02 }),
    time(compacted.name, compacted, 50),
    time("restoreLatest of a full and its deltas", sampleOf("restoreLatest", times.restored)),
    time(`applyDelta of ${CHANGED} rows, again`, sampleOf("applyDelta", times.applied)),
  ];
}

/** New words for rows of one fragment, others each time. */
async function update(table: Table, run: number): Promise<void> {
  const first = run * CHANGED;
  const where = `id >= ${first} AND id < ${first + CHANGED}`;
  await table.update({ where, values: { word: `w${run}` } });
}
