import { connect } from "@lancedb/lancedb";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { run } from "../harness/tools.ts";
import { archivers } from "./archiver.ts";
import { RepositoryPlace } from "./place.ts";

/** Backups of what is known already, and of one new fragment beside those that are. */
export async function measureAgain(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const firsts: Contender = {
    name: "first snapshot",
    before: () => {
      place.clear("first");
      settleDisk(place.root);
    },
    run: async () => (await place.newRepository("first")).backup({ source: place.uri }),
    after: () => void place.clear("first"),
  };
  const [first] = (await takeTurns([firsts], sizes.runs.slow, { restMs: sizes.restMs })) as [Sample];
  const repository = await place.newRepository("ours");
  await repository.backup({ source: place.uri });
  const others = archivers();
  for (const { name, init, backup } of others) {
    await init(place.clear(name));
    await run(...backup(place.path(name), place.uri, "first"));
  }
  let count = 0;
  const contendersAfter = (change: () => Promise<void> | void): Contender[] => {
    const before = async () => {
      await change();
      settleDisk(place.root);
    };
    return [
      { name: "lancedb-backup", before, run: () => repository.backup({ source: place.uri }) },
      ...others.map(({ name, backup }) => ({
        name,
        before,
        run: async () => {
          await run(...backup(place.path(name), place.uri, `n${++count}`));
          settleDisk(place.root);
        },
      })),
    ];
  };
  const unchanged = await takeTurns(
    contendersAfter(() => undefined),
    Math.max(5, sizes.runs.long),
    { warmUps: 2 },
  );
  const table = await (await connect(place.uri)).openTable("words");
  const rows = Math.max(1, Math.floor((await table.countRows()) / sizes.fragments));
  const batch = await table.query().limit(rows).toArrow();
  const grown = await takeTurns(
    contendersAfter(async () => void (await table.add(batch))),
    sizes.runs.long,
  );
  const opens: Contender = {
    name: "openSnapshot",
    run: async () => {
      await using db = await repository.openSnapshot("latest");
      return db.isOpen();
    },
  };
  const [opened] = await takeTurns([opens], Math.max(5, sizes.runs.long), { warmUps: 2 });
  const limits: Record<string, number> = { "lancedb-backup": 15 };
  return [
    ...unchanged.map((sample) =>
      time(`snapshot, nothing changed, ${sample.name}`, sample, limits[sample.name]),
    ),
    ...grown.map((sample) => time(`snapshot, one fragment more, ${sample.name}`, sample)),
    ratio("one fragment more / first snapshot", grown[0] as Sample, first, { kind: "most", limit: 0.1 }),
    time("openSnapshot", opened as Sample, 15),
  ];
}
