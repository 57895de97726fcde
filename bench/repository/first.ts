import type { Repository } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { installed, run } from "../harness/tools.ts";
import { type Archiver, archivers } from "./archiver.ts";
import { RepositoryPlace } from "./place.ts";

/** The first backup into an empty repository, each synced at its end. */
function contenders(place: RepositoryPlace): Contender[] {
  let repository: Repository;
  const ours: Contender = {
    name: "lancedb-backup",
    before: async () => {
      repository = await place.newRepository("ours");
      settleDisk(place.root);
    },
    run: () => repository.backup({ source: place.uri }),
    after: () => void place.clear("ours"),
  };
  const copy = (name: string, command: (target: string) => [string, string[]]): Contender => ({
    name,
    before: () => {
      place.clear("copy");
      settleDisk(place.root);
    },
    run: async () => {
      await run(...command(place.clear("copy")));
      settleDisk(place.root);
    },
    after: () => void place.clear("copy"),
  });
  const all = [ours, copy("cp -r", (target) => ["cp", ["-r", place.uri, target]])];
  if (installed("rsync")) all.push(copy("rsync -a", (target) => ["rsync", ["-a", place.uri, target]]));
  return [...all, ...archivers().map((archiver) => into(place, archiver))];
}

function into(place: RepositoryPlace, { name, init, backup }: Archiver): Contender {
  let archive = "";
  return {
    name,
    before: async () => {
      archive = place.clear(name);
      await init(archive);
      settleDisk(place.root);
    },
    run: async () => {
      await run(...backup(archive, place.uri, "first"));
      settleDisk(place.root);
    },
    after: () => void place.clear(name),
  };
}

export async function measureFirst(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const samples = await takeTurns(contenders(place), sizes.runs.long, { restMs: sizes.restMs });
  const named = (name: string) => samples.find((sample) => sample.name === name);
  const ours = named("lancedb-backup") as Sample;
  const figures = samples.map((sample) => time(`first snapshot, ${sample.name}`, sample));
  const [copy, restic, borg] = [named("cp -r"), named("restic"), named("borg")];
  if (copy) figures.push(ratio("first snapshot / cp -r, synced", ours, copy, { kind: "most", limit: 1.2 }));
  if (restic) figures.push(ratio("restic / first snapshot", restic, ours, { kind: "least", limit: 6 }));
  if (borg) figures.push(ratio("borg / first snapshot", borg, ours, { kind: "least", limit: 3 }));
  return figures;
}
