import { BackupStrategy } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import { insertRows } from "../data/rows.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { Workplace } from "../harness/workplace.ts";

const rows = insertRows(10, 7);

function write(name: string, place: Workplace, strategy: BackupStrategy, fresh: boolean): Contender {
  return {
    name,
    before: () => settleDisk(place.root),
    run: async () => {
      const manager = fresh ? place.newManager() : place.manager;
      await manager.withBackup(strategy, async (db) => {
        const table = await db.openTable("small0");
        await table.add(rows);
      });
    },
  };
}

/** A guarded write to one table, in a database of many and in a database of one. */
export async function measureManyTables(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const strategy of Object.values(BackupStrategy)) {
    for (const fresh of [false, true]) {
      await using many = new Workplace(data.manySmall);
      await using one = new Workplace(data.oneSmall);
      const [among, alone] = (await takeTurns(
        [write("many", many, strategy, fresh), write("one", one, strategy, fresh)],
        sizes.runs.short,
        { warmUps: 2 },
      )) as [Sample, Sample];
      const what = `withBackup ${strategy}, ${sizes.smallTables} tables / 1 table`;
      const limit = { kind: "most" as const, limit: 3 };
      figures.push(ratio(fresh ? `${what}, new manager` : what, among, alone, limit));
    }
  }
  return figures;
}
