import { basename } from "node:path";
import { expect, test } from "vitest";
import { parseFileName } from "../../src/periodic/chain/chain-files.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place } from "./harness.ts";
import { RandomWork, randomNumbers } from "./random-work.ts";

const nightly = process.env["NIGHTLY"] === "1";
const RUNS = nightly ? 40 : 2;
const MOMENTS = 8;
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));

for (const fileFormat of ["json", "arrow"] as const) {
  test(`whatever was done, full and deltas lead to the tables as they were (${fileFormat}, seed ${seed})`, async () => {
    for (let run = 0; run < RUNS; run++) await replaysAsItWas(fileFormat, seed + run);
  });
}

async function replaysAsItWas(fileFormat: "json" | "arrow", runSeed: number): Promise<void> {
  await using place = new Place();
  const random = randomNumbers(runSeed);
  const work = new RandomWork(await place.db(), random);
  await work.step();
  // Random work may drop every table.
  const options = { fileFormat, incremental: true, maxDeltasBeforeFull: 5, allowEmpty: true } as const;
  let manager = place.manager(options);
  const moments: { file: string; content: unknown; log: string[] }[] = [];
  for (let moment = 0; moment < MOMENTS; moment++) {
    for (let steps = Math.floor(random() * 5); steps >= 0; steps--) await work.step();
    if (random() < 0.3) manager = place.manager(options);
    const file = await manager.backupNow();
    moments.push({ file: basename(file), content: await contentOf(place.uri), log: [...work.log] });
  }
  for (const { file, content, log } of moments) {
    const target = place.fresh();
    const at = new Date(Math.floor((parseFileName(file)?.micros ?? 0) / 1000));
    const summary = await restoreLatest(place.backupDir, target, { at, logger: place.logger });
    expect([summary.full, ...summary.deltas].at(-1)).toBe(file);
    const restored = await contentOf(target);
    expect(restored, `seed ${runSeed}, ${file}: ${log.join("; ")}`).toEqual(content);
  }
}
