import { join } from "node:path";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { RepositoryPlace } from "./place.ts";
import { installed, run } from "./tools.ts";

/** Ways back from a repository, each synced at its end. */
export async function measureRestore(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const repository = await place.newRepository("ours");
  await repository.backup({ source: place.uri });
  const out = () => place.clear("out");
  const before = () => {
    out();
    settleDisk(place.root);
  };
  const by = (name: string, work: (target: string) => Promise<unknown>): Contender => ({
    name,
    before,
    run: async () => {
      await work(join(place.root, "out"));
      settleDisk(place.root);
    },
    after: () => void out(),
  });
  const all = [
    {
      name: "lancedb-backup",
      before,
      run: () => repository.restore("latest", { target: join(place.root, "out") }),
    },
    by("cp -r", (target) => run("cp", ["-r", place.uri, target])),
  ];
  if (installed("restic")) {
    const archive = place.clear("restic");
    await run("restic", ["-r", archive, "init"]);
    await run("restic", ["-r", archive, "backup", place.uri]);
    all.push(
      by("restic", (target) => run("restic", ["-r", archive, "restore", "latest", "--target", target])),
    );
  }
  const samples = await takeTurns(all, sizes.runs.long);
  const [ours, copy, restic] = samples as [Sample, Sample, Sample | undefined];
  const figures = samples.map((sample) => time(`restore, ${sample.name}`, sample));
  figures.push(ratio("restore, verified / cp -r, synced", ours, copy, { kind: "most", limit: 1 }));
  if (restic) figures.push(ratio("restic restore / restore", restic, ours, { kind: "least", limit: 4 }));
  return figures;
}

/** A whole verify against two processes that hash the same bytes. */
export async function measureVerify(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const repository = await place.newRepository("ours");
  await repository.backup({ source: place.uri });
  const inParallel =
    "find blobs -type f | sort > list; split -n l/2 list half-; for half in half-*; do xargs openssl dgst -sha256 < $half > /dev/null & done; wait; rm list half-*";
  const samples = await takeTurns(
    [
      { name: "verify", run: () => repository.verify("latest") },
      { name: "two openssl processes", run: () => run("bash", ["-c", inParallel], repository.location) },
    ],
    sizes.runs.long,
  );
  const [ours, openssl] = samples as [Sample, Sample];
  return [
    ...samples.map((sample) => time(`hash everything, ${sample.name}`, sample)),
    ratio("verify / two openssl processes", ours, openssl, { kind: "most", limit: 1.15 }),
  ];
}
