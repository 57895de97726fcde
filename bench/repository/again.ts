import { connect } from "@lancedb/lancedb";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { RepositoryPlace } from "./place.ts";
import { installed, run } from "./tools.ts";

/** Backups of what is known already, and of one new fragment beside those that are. */
export async function measureAgain(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const repository = await place.newRepository("ours");
  const restic = installed("restic") ? place.clear("restic") : undefined;
  const borg = installed("borg") ? place.clear("borg") : undefined;
  const started = performance.now();
  await repository.backup({ source: place.uri });
  const first = performance.now() - started;
  if (restic) {
    await run("restic", ["-r", restic, "init"]);
    await run("restic", ["-r", restic, "backup", place.uri]);
  }
  if (borg) {
    await run("borg", ["init", "--encryption", "none", borg]);
    await run("borg", ["create", `${borg}::first`, place.uri]);
  }
  let count = 0;
  const contendersAfter = (change: () => Promise<void> | void) => {
    const before = async () => {
      await change();
      settleDisk(place.root);
    };
    const all = [{ name: "lancedb-backup", before, run: () => repository.backup({ source: place.uri }) }];
    if (restic) {
      const backup = () => run("restic", ["-r", restic, "backup", place.uri]);
      all.push({ name: "restic", before, run: backup as never });
    }
    if (borg) {
      const create = () => run("borg", ["create", `${borg}::${++count}`, place.uri]);
      all.push({ name: "borg", before, run: create as never });
    }
    return all;
  };
  const unchanged = await takeTurns(
    contendersAfter(() => undefined),
    Math.max(5, sizes.runs.long),
    2,
  );
  const table = await (await connect(place.uri)).openTable("words");
  const rows = Math.max(1, Math.floor((await table.countRows()) / sizes.fragments));
  const batch = await table.query().limit(rows).toArrow();
  const oneMore = async () => void (await table.add(batch));
  const grown = await takeTurns(contendersAfter(oneMore), sizes.runs.long);
  const opened = await takeTurns(
    [
      {
        name: "openSnapshot",
        run: async () => {
          await using db = await repository.openSnapshot("latest");
          return db.isOpen();
        },
      },
    ],
    Math.max(5, sizes.runs.long),
    2,
  );
  const limits: Record<string, number> = { "lancedb-backup": 15 };
  const firstSample: Sample = { name: "first", median: first, min: first, max: first, times: [first] };
  return [
    ...unchanged.map((sample) =>
      time(`snapshot, nothing changed, ${sample.name}`, sample, limits[sample.name]),
    ),
    ...grown.map((sample) => time(`snapshot, one fragment more, ${sample.name}`, sample)),
    ratio("one fragment more / first snapshot", grown[0] as Sample, firstSample, {
      kind: "most",
      limit: 0.1,
    }),
    time("openSnapshot", opened[0] as Sample, 15),
  ];
}
