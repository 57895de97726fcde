import { BackupStrategy } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { wordRows } from "../data/words.ts";
import { type Figure, time } from "../harness/figure.ts";
import { type Contender, Part, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { Workplace } from "../harness/workplace.ts";

const STRATEGIES = Object.values(BackupStrategy);
const LIMIT_MS = 60;

class Broken extends Error {}

/** Backup, one add; `restoreBackup` is measured. */
function restore(place: Workplace, strategy: BackupStrategy): Contender {
  const { manager } = place;
  let id = "";
  return {
    name: `restoreBackup ${strategy}`,
    before: async () => {
      id = await manager.createBackup(strategy);
      const db = await manager.connection();
      const table = await db.openTable("words");
      await table.add(wordRows(10));
      table.close();
      settleDisk(place.root);
    },
    run: () => manager.restoreBackup(id),
    after: () => manager.cleanupBackup(id),
  };
}

/** Guarded work that fails after one add; measured from its error to the caller's. */
function failingWork(place: Workplace, strategy: BackupStrategy): Contender {
  return {
    name: `failing withBackup ${strategy}`,
    before: () => settleDisk(place.root),
    run: async () => {
      let failedAt = 0;
      try {
        await place.manager.withBackup(strategy, async (db) => {
          const table = await db.openTable("words");
          await table.add(wordRows(10));
          failedAt = performance.now();
          throw new Broken();
        });
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
      }
      return new Part(performance.now() - failedAt);
    },
  };
}

/** The way back on the table of words; each contender has a clone of its own, since its history grows. */
export async function measureRollbacks(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const make of [restore, failingWork]) {
    await using first = new Workplace(data.words);
    await using second = new Workplace(data.words);
    const places = [first, second];
    const contenders = STRATEGIES.map((strategy, index) => make(places[index] ?? first, strategy));
    const samples = await takeTurns(contenders, sizes.runs.short, 2);
    figures.push(...samples.map((sample) => time(`rollback: ${sample.name}`, sample, LIMIT_MS)));
  }
  return figures;
}
