import { cpSync, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import fsExtra from "fs-extra";
import { BackupStrategy } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { wordRows } from "../data/words.ts";
import { type Figure, time } from "../harness/figure.ts";
import { type Contender, Part, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { installed, run } from "../harness/tools.ts";
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

/** What people would do instead, with nobody else at work: a copy takes the directory's place. */
function copyBack(
  place: Workplace,
  name: string,
  copy: (from: string, to: string) => Promise<unknown>,
): Contender {
  const table = join(place.uri, "words.lance");
  const [kept, next, old] = ["kept", "next", "old"].map((part) => join(place.root, part)) as [
    string,
    string,
    string,
  ];
  return {
    name: `${name} of a copy into the table's place, synced`,
    before: async () => {
      if (!existsSync(kept)) cpSync(table, kept, { recursive: true });
      settleDisk(place.root);
    },
    run: async () => {
      await copy(kept, next);
      renameSync(table, old);
      renameSync(next, table);
      settleDisk(place.root);
    },
    after: () => rmSync(old, { recursive: true }),
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
    const samples = await takeTurns(contenders, sizes.runs.short, { warmUps: 2 });
    figures.push(...samples.map((sample) => time(`rollback: ${sample.name}`, sample, LIMIT_MS)));
  }
  await using place = new Workplace(data.words);
  const copies = [
    copyBack(place, "fs-extra copy", (from, to) => fsExtra.copy(from, to)),
    copyBack(place, "cp -r", (from, to) => run("cp", ["-r", from, to])),
    ...(installed("rsync")
      ? [copyBack(place, "rsync -a", (from, to) => run("rsync", ["-a", `${from}/`, to]))]
      : []),
  ];
  const samples = await takeTurns(copies, sizes.runs.long, { restMs: sizes.restMs });
  return [...figures, ...samples.map((sample) => time(sample.name, sample))];
}
