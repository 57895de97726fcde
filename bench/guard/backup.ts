import { rmSync } from "node:fs";
import { join } from "node:path";
import fsExtra from "fs-extra";
import { BackupStrategy } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk, syncTree } from "../harness/sync.ts";
import { installed, run } from "../harness/tools.ts";
import { Workplace } from "../harness/workplace.ts";

const { DirectoryCopy, LanceVersion } = BackupStrategy;

/** A backup and its removal; the one or the other is measured. */
function backup(place: Workplace, strategy: BackupStrategy, measured: "create" | "cleanup"): Contender {
  let id: string | undefined;
  const create = async () => {
    id = await place.manager.createBackup(strategy);
  };
  const cleanup = async () => {
    if (id !== undefined) await place.manager.cleanupBackup(id);
  };
  const name = `${measured} ${strategy}`;
  if (measured === "cleanup") return { name, before: create, run: cleanup };
  return { name, before: () => settleDisk(place.root), run: create, after: cleanup };
}

/** What people would do instead: none of it is safe beside a writer. */
function byHand(place: Workplace): Contender[] {
  const [source, target] = [join(place.uri, "words.lance"), join(place.root, "by-hand")];
  const contender = (name: string, copy: () => Promise<void>): Contender => ({
    name: `${name}, synced`,
    before: () => settleDisk(place.root),
    run: copy,
    after: () => rmSync(target, { recursive: true, force: true }),
  });
  const program = (name: string, flags: string) =>
    contender(`${name} ${flags}`, async () => {
      await run(name, [flags, `${source}/`, target]);
      settleDisk(place.root);
    });
  return [
    contender("fs-extra copy", async () => {
      await fsExtra.copy(source, target);
      await syncTree(target);
    }),
    program("cp", "-r"),
    program("cp", "-al"),
    ...(installed("rsync") ? [program("rsync", "-a")] : []),
  ];
}

/** Backups of the table of words against a copy of its directory. */
export async function measureBackups(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  await using place = new Workplace(data.words);
  const [copy, pin, copyAway, pinAway] = (await takeTurns(
    [
      backup(place, DirectoryCopy, "create"),
      backup(place, LanceVersion, "create"),
      backup(place, DirectoryCopy, "cleanup"),
      backup(place, LanceVersion, "cleanup"),
    ],
    sizes.runs.short,
    { warmUps: 3 },
  )) as [Sample, Sample, Sample, Sample];
  const [linked, ...copies] = (await takeTurns(
    [backup(place, DirectoryCopy, "create"), ...byHand(place)],
    sizes.runs.long,
    { restMs: sizes.restMs },
  )) as [Sample, Sample, ...Sample[]];
  return [
    time("createBackup directory-copy", copy, 25),
    ratio("fs-extra copy, synced / createBackup directory-copy", copies[0] as Sample, linked, {
      kind: "least",
      limit: 100,
    }),
    ...copies.map((sample) => time(sample.name, sample)),
    time("createBackup lance-version", pin, 15),
    time("cleanupBackup directory-copy", copyAway),
    time("cleanupBackup lance-version", pinAway),
  ];
}

/** What a directory-copy backup costs by the length of the history. */
export async function measureHistory(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  await using one = new Workplace(data.wordsOneVersion);
  await using long = new Workplace(data.wordsLongHistory);
  const places: [string, Workplace][] = [
    ["1 version", one],
    [`${sizes.longHistory} versions`, long],
  ];
  const contenders = places.flatMap(([, place]) => [
    backup(place, DirectoryCopy, "create"),
    backup(place, LanceVersion, "create"),
  ]);
  const samples = await takeTurns(contenders, Math.max(sizes.runs.long, Math.ceil(sizes.runs.short / 2)));
  return samples.map((sample, index) =>
    time(
      `createBackup ${index % 2 === 0 ? DirectoryCopy : LanceVersion}, ${places[index >> 1]?.[0]}`,
      sample,
    ),
  );
}
