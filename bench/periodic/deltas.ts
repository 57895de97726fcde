import { connect } from "@lancedb/lancedb";
import { applyDelta, restoreLatest } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, sampleOf, takeTurns } from "../harness/measure.ts";
import { quiet } from "../harness/quiet.ts";
import { settleDisk } from "../harness/sync.ts";
import { PeriodicPlace } from "./place.ts";

const CHANGED = 100;

/** Deltas after a full of the table of words, and their replay. */
export async function measureDeltas(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new PeriodicPlace(data.words);
  const manager = place.manager({ incremental: true, maxDeltasBeforeFull: 1_000_000 });
  const started = performance.now();
  await manager.backupFull();
  const full = sampleOf("full", [performance.now() - started]);
  const db = await connect(place.uri);
  const table = await db.openTable("words");
  let run = 0;
  let newest: string | null = null;
  const delta = (name: string, change: () => Promise<unknown>): Contender => ({
    name,
    before: async () => {
      await change();
      settleDisk(place.root);
    },
    run: async () => {
      newest = (await manager.backupDelta()) ?? newest;
    },
  });
  const update = async () => {
    const first = ++run * CHANGED;
    const where = `id >= ${first} AND id < ${first + CHANGED}`;
    await table.update({ where, values: { word: `w${run}` } });
  };
  const [changed, nothing, noRow] = (await takeTurns(
    [
      delta(`delta of ${CHANGED} updated rows of one fragment`, update),
      delta("delta where nothing was committed", async () => undefined),
      delta("delta where a commit changed no row", () => table.delete("false")),
    ],
    Math.max(5, sizes.runs.long),
  )) as [Sample, Sample, Sample];
  await update();
  await manager.backupDelta();
  const file = newest ?? "";
  await table.optimize();
  const compacted = await takeTurns(
    [delta("delta after everything was compacted", async () => undefined)],
    1,
    0,
  );
  table.close();
  db.close();
  const [restored] = await takeTurns(
    [
      {
        name: "restoreLatest of a full and its deltas",
        before: () => {
          place.clear("restored");
          settleDisk(place.root);
        },
        run: async () => {
          (await restoreLatest(place.backupDir, place.clear("restored"), { logger: quiet })) as unknown;
          settleDisk(place.root);
        },
      },
    ],
    sizes.runs.slow,
  );
  const applied: Contender = {
    name: `applyDelta of ${CHANGED} rows`,
    run: () => applyDelta(`${place.root}/restored`, file),
  };
  const [again] = await takeTurns([applied], Math.max(5, sizes.runs.long));
  return [
    time(changed.name, changed, 300),
    ratio("the same / a full", changed, full, { kind: "most", limit: 0.02 }),
    time(nothing.name, nothing, 20),
    time(noRow.name, noRow, 20),
    ...compacted.map((sample) => time(sample.name, sample, 50)),
    time((restored as Sample).name, restored as Sample),
    time((again as Sample).name, again as Sample),
  ];
}
