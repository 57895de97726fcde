import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { amount, type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { bytesBelow, settleDisk } from "../harness/sync.ts";
import { peakMemory, run } from "../harness/tools.ts";
import { archivers } from "./archiver.ts";
import { RepositoryPlace } from "./place.ts";

const COMMAND = join(import.meta.dirname, "../../dist/cli/main.js");
const LIMIT_MB = 250;
/** Snapshots of a table that is a fragment longer each time. */
const SNAPSHOTS = 5;

/** Repositories with several snapshots: their sizes, and how long it takes to keep the newest alone. */
export async function measurePrune(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const repository = await place.newRepository("ours");
  const others = archivers();
  for (const { name, init } of others) await init(place.clear(name));
  const table = await (await connect(place.uri)).openTable("words");
  const rows = Math.max(1, Math.floor((await table.countRows()) / sizes.fragments));
  const batch = await table.query().limit(rows).toArrow();
  for (let n = 0; n < SNAPSHOTS; n++) {
    if (n > 0) await table.add(batch);
    await repository.backup({ source: place.uri });
    for (const { name, backup } of others) await run(...backup(place.path(name), place.uri, `n${n}`));
  }
  // The whole table anew, so that the older snapshots have something of their own to be freed.
  await table.optimize({ cleanupOlderThan: new Date(), deleteUnverified: true });
  await repository.backup({ source: place.uri });
  for (const { name, backup } of others) await run(...backup(place.path(name), place.uri, "last"));
  const size = (name: string) =>
    amount(`size of ${SNAPSHOTS + 1} snapshots, ${name}`, "MB", [
      bytesBelow(place.path(name === "lancedb-backup" ? "ours" : name)) / 1e6,
    ]);
  const figures = [size("lancedb-backup"), ...others.map(({ name }) => size(name))];
  figures.push(amount("size of the database", "MB", [bytesBelow(place.uri) / 1e6]));
  const fresh = (name: string, forget?: () => void) => async () => {
    forget?.();
    place.clear("pruned");
    await run("cp", ["-r", place.path(name), place.path("pruned")]);
    settleDisk(place.root);
  };
  const all: Contender[] = [
    {
      name: "lancedb-backup",
      before: fresh("ours"),
      run: async () => {
        const copy = await place.openRepository("pruned");
        await copy.prune({ keepLast: 1, graceHours: 0 });
        await copy.prune({ graceHours: 0 }); // blobs go in two steps
        settleDisk(place.root);
      },
    },
    ...others.map(({ name, prune, forget }) => ({
      name,
      before: fresh(name, forget),
      run: async () => {
        await prune(place.path("pruned"));
        settleDisk(place.root);
      },
    })),
  ];
  const samples = await takeTurns(all, sizes.runs.long);
  return [...figures, ...samples.map((sample) => time(`prune, ${sample.name}`, sample))];
}

/** Peak memory of the programs, in processes of their own. */
export async function measurePeak(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  if (process.platform !== "linux") return [];
  using place = new RepositoryPlace(data.words);
  const target = { kind: "most" as const, limit: LIMIT_MB };
  const runs = Array.from({ length: sizes.runs.long }, (_, index) => index);
  const measured = async (work: (n: number) => Promise<number>): Promise<number[]> => {
    const values: number[] = [];
    for (const n of runs) values.push(await work(n));
    return values;
  };
  const command = (...args: string[]) => peakMemory(process.execPath, [COMMAND, "--quiet", ...args]);
  const repo = ["--repo", place.path("ours")];
  const figures = [
    amount(
      "memory of a first backup, lancedb-backup",
      "MB",
      await measured(async () => {
        await place.newRepository("ours");
        return command("backup", place.uri, ...repo);
      }),
      target,
    ),
    amount(
      "memory of verify, lancedb-backup",
      "MB",
      await measured(() => command("verify", ...repo)),
      target,
    ),
    amount(
      "memory of a restore, lancedb-backup",
      "MB",
      await measured(() => command("restore", "latest", place.clear("out"), ...repo)),
      target,
    ),
  ];
  for (const { name, init, backup } of archivers()) {
    const values = await measured(async (n) => {
      const archive = place.clear(name);
      await init(archive);
      return peakMemory(...backup(archive, place.uri, `n${n}`));
    });
    figures.push(amount(`memory of a first backup, ${name}`, "MB", values));
  }
  return figures;
}

/** Snapshots of a table of many versions, and of one with twice as many: a data file for each. */
export async function measureManyFiles(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using some = new RepositoryPlace(data.manyVersions[0]);
  using twice = new RepositoryPlace(data.manyVersions[1]);
  const places = [some, twice];
  const contenders = places.map((place): Contender => {
    let repository: Awaited<ReturnType<RepositoryPlace["newRepository"]>>;
    return {
      name: `${place.files().toLocaleString("en")} files`,
      before: async () => {
        repository = await place.newRepository("ours");
        settleDisk(place.root);
      },
      run: () => repository.backup({ source: place.uri }),
    };
  });
  const samples = (await takeTurns(contenders, sizes.runs.long)) as [Sample, Sample];
  const figures = samples.map((sample) => time(`first snapshot of ${sample.name}`, sample));
  figures.push(ratio("twice the files / the files", samples[1], samples[0], { kind: "most", limit: 2.2 }));
  if (process.platform !== "linux") return figures;
  mkdirSync(twice.root, { recursive: true });
  const peaks: number[] = [];
  for (let run = 0; run < sizes.runs.long; run++) {
    await twice.newRepository("memory");
    const args = ["--quiet", "backup", twice.uri, "--repo", twice.path("memory")];
    peaks.push(await peakMemory(process.execPath, [COMMAND, ...args]));
  }
  const target = { kind: "most" as const, limit: LIMIT_MB };
  figures.push(amount(`memory of a backup of ${samples[1].name}`, "MB", peaks, target));
  return figures;
}
