import { type InitOptions, Repository, rawKey } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { amount, type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, medianOf, type Sample, sampleOf, takeTurns } from "../harness/measure.ts";
import { quiet } from "../harness/quiet.ts";
import { bytesBelow, settleDisk } from "../harness/sync.ts";
import { processorTime } from "../harness/tools.ts";
import { archivers } from "./archiver.ts";
import { RepositoryPlace } from "./place.ts";

const encryption = { keys: [rawKey(Buffer.alloc(32, 1))] };

const WAYS: Readonly<Record<string, InitOptions>> = {
  plain: {},
  encrypted: { encryption, compression: { algorithm: "none" } },
  "encrypted, zstd 1": { encryption, compression: { algorithm: "zstd", level: 1 } },
  "encrypted, zstd 3": { encryption, compression: { algorithm: "zstd", level: 3 } },
};

/** What one contender spent and left in each of its runs. */
interface Spent {
  /** Milliseconds of processors. */
  readonly processor: number[];
  readonly bytes: number[];
}

/** Databases, and the most that a first snapshot may take of restic's time; restic always compresses and encrypts. */
function databases(
  data: BenchData,
): readonly { what: string; database: string; limit: number; way: string }[] {
  return [
    { what: "vectors", database: data.words, limit: 0.5, way: "encrypted, zstd 1" },
    { what: "text and JSON", database: data.texts, limit: 0.65, way: "encrypted, zstd 3" },
    { what: "manifests", database: data.manyVersions[0], limit: 0.5, way: "encrypted, zstd 1" },
  ];
}

export async function measureEncrypted(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const each of databases(data)) figures.push(...(await measureOne(each, sizes)));
  return figures;
}

async function measureOne(
  { what, database, limit, way }: ReturnType<typeof databases>[number],
  sizes: Sizes,
): Promise<Figure[]> {
  using place = new RepositoryPlace(database);
  const spent = new Map<string, Spent>();
  const restic = archivers().find(({ name }) => name === "restic");
  const all = Object.entries(WAYS).map(([name, options]) => ours(place, name, options, spent));
  if (restic) {
    const { name, init, backup } = restic;
    const run = () => processorTime(...backup(place.path(name), place.uri, "first"));
    all.push(measured(place, name, spent, () => init(place.clear(name)), run));
  }
  const samples = await takeTurns(all, sizes.runs.long, { restMs: sizes.restMs });
  const about = (name: string) => `first snapshot of ${what}, ${name}`;
  const figures = samples.flatMap((sample) => {
    const { processor, bytes } = spent.get(sample.name) ?? { processor: [], bytes: [] };
    return [
      time(about(sample.name), sample),
      amount(`${about(sample.name)}: of processors`, "ms", processor.slice(-sizes.runs.long)),
      amount(`${about(sample.name)}: stored`, "MB", [medianOf(bytes)]),
    ];
  });
  const named = (name: string) => samples.find((sample) => sample.name === name) as Sample;
  figures.push(
    ratio(`encrypted / plain, ${what}`, named("encrypted"), named("plain"), { kind: "most", limit: 1.4 }),
  );
  if (!restic) return figures;
  const most = { kind: "most", limit } as const;
  const processors = (name: string) =>
    sampleOf(name, spent.get(name)?.processor.slice(-sizes.runs.long) ?? []);
  const stored = (name: string) => sampleOf(name, spent.get(name)?.bytes ?? []);
  figures.push(ratio(`${way} / restic, ${what}`, named(way), named("restic"), most));
  figures.push(ratio(`${way} / restic, ${what}: of processors`, processors(way), processors("restic"), most));
  figures.push(
    ratio(`${way} / restic, ${what}: stored`, stored(way), stored("restic"), { kind: "most", limit: 1 }),
  );
  return figures;
}

function ours(
  place: RepositoryPlace,
  name: string,
  options: InitOptions,
  spent: Map<string, Spent>,
): Contender {
  let repository: Repository;
  const init = async () => {
    repository = await Repository.init(place.clear(name), { logger: quiet, ...options });
  };
  return measured(place, name, spent, init, async () => {
    const before = process.cpuUsage();
    await repository.backup({ source: place.uri });
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
}

/** @param run answers with the milliseconds that processors worked on it */
function measured(
  place: RepositoryPlace,
  name: string,
  spent: Map<string, Spent>,
  init: () => Promise<void>,
  run: () => Promise<number>,
): Contender {
  const own: Spent = { processor: [], bytes: [] };
  spent.set(name, own);
  return {
    name,
    before: async () => {
      await init();
      settleDisk(place.root);
    },
    run: async () => {
      own.processor.push(await run());
      settleDisk(place.root);
    },
    after: () => {
      own.bytes.push(bytesBelow(place.path(name)) / 1e6);
      place.clear(name);
    },
  };
}
