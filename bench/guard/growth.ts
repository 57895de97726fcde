import { join } from "node:path";
import { BackupStrategy } from "lancedb-backup";
import type { BenchData, Grown } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, time } from "../harness/figure.ts";
import { type Contender, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { run } from "../harness/tools.ts";
import { Workplace } from "../harness/workplace.ts";

const STRATEGIES = Object.values(BackupStrategy);

function backup(place: Workplace, strategy: BackupStrategy): Contender {
  let id = "";
  return {
    name: `createBackup ${strategy}`,
    before: () => settleDisk(place.root),
    run: async () => {
      id = await place.manager.createBackup(strategy);
    },
    after: () => place.manager.cleanupBackup(id),
  };
}

function copy(place: Workplace): Contender {
  const target = join(place.root, "copied");
  return {
    name: "cp -r, synced",
    before: () => settleDisk(place.root),
    run: async () => {
      await run("cp", ["-r", place.uri, target]);
      settleDisk(place.root);
    },
    after: () => run("rm", ["-r", target]),
  };
}

async function measureGrown(axis: string, grown: readonly Grown[], sizes: Sizes): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { database, x } of grown) {
    await using place = new Workplace(database);
    const contenders = [...STRATEGIES.map((strategy) => backup(place, strategy)), copy(place)];
    for (const sample of await takeTurns(contenders, sizes.runs.long)) {
      const what = `${sample.name}, ${x.toLocaleString("en")} ${axis}`;
      figures.push({ ...time(what, sample), point: { series: sample.name, axis, x } });
    }
  }
  return figures;
}

/** Backups of databases that differ in one thing alone. */
export const growthParts = (["bytes", "files", "tables", "versions"] as const).map((axis) => ({
  axis,
  measure: (data: BenchData, sizes: Sizes) => measureGrown(axis, data.grown[axis], sizes),
}));
