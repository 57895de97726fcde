import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { run } from "../harness/tools.ts";
import { archivers } from "./archiver.ts";
import { RepositoryPlace } from "./place.ts";

/** Ways back from a repository, each synced at its end. */
export async function measureRestore(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const repository = await place.newRepository("ours");
  await repository.backup({ source: place.uri });
  const before = () => {
    place.clear("out");
    settleDisk(place.root);
  };
  const after = () => void place.clear("out");
  const by = (name: string, work: (target: string) => Promise<unknown>): Contender => ({
    name,
    before,
    run: async () => {
      await work(place.path("out"));
      settleDisk(place.root);
    },
    after,
  });
  const all: Contender[] = [
    {
      name: "lancedb-backup",
      before,
      run: () => repository.restore("latest", { target: place.path("out") }),
      after,
    },
    by("cp -r", (target) => run("cp", ["-r", place.uri, target])),
  ];
  for (const { name, init, backup, restore } of archivers()) {
    const archive = place.clear(name);
    await init(archive);
    await run(...backup(archive, place.uri, "first"));
    all.push(by(name, (target) => restore(archive, "first", target)));
  }
  const samples = await takeTurns(all, sizes.runs.long, { restMs: sizes.restMs });
  const named = (name: string) => samples.find((sample) => sample.name === name);
  const ours = named("lancedb-backup") as Sample;
  const figures = samples.map((sample) => time(`restore, ${sample.name}`, sample));
  const [copy, restic] = [named("cp -r"), named("restic")];
  if (copy) figures.push(ratio("restore, verified / cp -r, synced", ours, copy, { kind: "most", limit: 1 }));
  if (restic) figures.push(ratio("restic restore / restore", restic, ours, { kind: "least", limit: 4 }));
  return figures;
}

/** Every byte read and hashed. */
export async function measureVerify(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const repository = await place.newRepository("ours");
  await repository.backup({ source: place.uri });
  const inParallel =
    "find blobs -type f | sort > list; split -n l/2 list half-; for half in half-*; do xargs openssl dgst -sha256 < $half > /dev/null & done; wait; rm list half-*";
  const hash = (name: string, script: string): Contender => ({
    name,
    run: () => run("bash", ["-c", script], repository.location),
  });
  const all: Contender[] = [
    { name: "verify", run: () => repository.verify("latest") },
    hash("two openssl processes", inParallel),
    hash("sha256sum", "find blobs -type f | xargs sha256sum > /dev/null"),
  ];
  for (const { name, init, backup, check } of archivers()) {
    const archive = place.clear(name);
    await init(archive);
    await run(...backup(archive, place.uri, "first"));
    all.push({ name: `${name} check`, run: () => check(archive) });
  }
  const samples = await takeTurns(all, sizes.runs.long);
  const [ours, openssl] = samples as [Sample, Sample];
  return [
    ...samples.map((sample) => time(`read and check everything, ${sample.name}`, sample)),
    ratio("verify / two openssl processes", ours, openssl, { kind: "most", limit: 1.15 }),
  ];
}
