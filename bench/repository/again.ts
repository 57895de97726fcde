import { connect } from "@lancedb/lancedb";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { run } from "../harness/tools.ts";
import { archivers } from "./archiver.ts";
import { RepositoryPlace } from "./place.ts";

/** A database of one contender's own, that it has backed up once. */
interface Known extends Contender {
  readonly place: RepositoryPlace;
}

/** Backups of what is known already, and of one new fragment beside those that are. */
export async function measureAgain(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const first = await measureFirst(place, sizes);
  const repository = await place.newRepository("ours");
  await repository.backup({ source: place.uri });
  const ours = { name: "lancedb-backup", place, run: () => repository.backup({ source: place.uri }) };
  const known: Known[] = [ours];
  try {
    for (const { name, init, backup } of archivers()) {
      const its = new RepositoryPlace(data.words, "copy");
      let count = 0;
      const again = async () => {
        await run(...backup(its.path(name), its.uri, `n${++count}`));
        settleDisk(its.root);
      };
      known.push({ name, place: its, run: again });
      await addFragment(its, sizes); // borg never trusts the file that was written last: not to be a large one
      await init(its.clear(name));
      await again();
    }
    const unchanged = await takeTurns(
      known.map((one) => ({ ...one, before: () => settleDisk(one.place.root) })),
      Math.max(5, sizes.runs.long),
      { warmUps: 2 },
    );
    const grown = await takeTurns(
      known.map((one) => ({ ...one, before: () => addFragment(one.place, sizes) })),
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
  } finally {
    for (const { place: its } of known) its[Symbol.dispose]();
  }
}

async function measureFirst(place: RepositoryPlace, sizes: Sizes): Promise<Sample> {
  const first: Contender = {
    name: "first snapshot",
    before: () => {
      place.clear("first");
      settleDisk(place.root);
    },
    run: async () => (await place.newRepository("first")).backup({ source: place.uri }),
    after: () => void place.clear("first"),
  };
  const [sample] = await takeTurns([first], sizes.runs.slow, { restMs: sizes.restMs });
  return sample as Sample;
}

/** As many rows as a fragment of the table has. */
async function addFragment(place: RepositoryPlace, sizes: Sizes): Promise<void> {
  const table = await (await connect(place.uri)).openTable("words");
  const rows = Math.max(1, Math.floor((await table.countRows()) / sizes.fragments));
  await table.add(await table.query().limit(rows).toArrow());
  table.close();
  settleDisk(place.root);
}
