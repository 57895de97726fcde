import { join } from "node:path";
import { expect, test } from "vitest";
import { countLines, runUnderKills } from "../../concurrency/under-kills.ts";
import { recordFigures } from "../../crash/figures.ts";
import { newDirectory } from "../../support/database.ts";
import { namesBelow } from "../../support/pieces.ts";
import { Place } from "./place.ts";

test("backups, deletions and prunes without a grace period in several processes that are killed: no snapshot lacks a blob", async () => {
  const root = await newDirectory();
  const directory = join(root, "repository");
  const place = new Place(directory);
  const made = (output: string) => countLines(output, /^made /);
  const freed = (output: string) =>
    [...output.matchAll(/^freed (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  const { output, kills } = await runUnderKills({
    program: join(import.meta.dirname, "worker.ts"),
    processes: 4,
    task: { directory },
    directory: root,
    pauseMs: [400, 600],
    isEnough: (output) => made(output) > 20 && freed(output) > 20,
  });
  await place.assertWhole();
  recordFigures("Prune beside backups", [
    {
      processes: 4,
      "processes killed": kills,
      "snapshots made": made(output),
      "blobs freed": freed(output),
      "blobs lost": 0,
    },
  ]);
  expect((await place.catalog.ids()).length).toBeGreaterThan(0);
  await place.prune({ graceHours: 0 });
  expect(await place.blobs()).toEqual(await place.assertWhole());
  expect(await namesBelow(place.storage, "leases/")).toEqual([]);
  expect(await namesBelow(place.storage, "marks/")).toEqual([]);
});
