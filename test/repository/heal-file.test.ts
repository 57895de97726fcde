import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type HealPlan, healFile } from "../../src/sources/lancedb/scrub/heal-file.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { blobsOf } from "./lance-parts.ts";
import { scrubPlace } from "./scrub-fixture.ts";
import { fileLike, filesOf } from "./sound.ts";
import { remote } from "./verify-run.ts";

/** A data file that is missing, and a storage by which something happens while its blob is read. */
async function missingFile(meanwhile: (dataset: string) => void) {
  const { uri, storage, snapshot } = await scrubPlace();
  const dataset = join(uri, "main.lance");
  const found = fileLike(filesOf(snapshot), /^data\//);
  const file = join(dataset, found.path);
  rmSync(file);
  const plan: HealPlan = {
    dataset,
    file,
    asideName: "scrub/x",
    sound: { table: "main", ...found },
    seen: undefined,
  };
  const reading: Storage = {
    ...remote(storage),
    async *read(name, options) {
      meanwhile(dataset);
      yield* storage.read(name, options);
    },
  };
  return { uri, dataset, file, mended: () => healFile(blobsOf(reading), uri, plan) };
}

test("a missing file comes back", async () => {
  const { mended, file } = await missingFile(() => undefined);
  expect(await mended()).toEqual({ mended: true, aside: undefined });
  expect(readFileSync(file).length).toBeGreaterThan(0);
});

test("a table that was dropped since it was looked at stays so", async () => {
  const { mended, dataset } = await missingFile(() => undefined);
  rmSync(dataset, { recursive: true });
  expect(await mended()).toMatchObject({ mended: false, refused: /dropped/ });
  expect(existsSync(dataset)).toBe(false);
});

test("a table that is dropped while its file is mended does not come back as a directory", async () => {
  const { mended, dataset } = await missingFile((dropped) =>
    rmSync(join(dropped, "_versions"), { recursive: true }),
  );
  // All but the file that is being written, which a drop that has listed the others leaves.
  for (const room of ["_deletions", "_indices", "_refs", "_transactions"])
    rmSync(join(dataset, room), { recursive: true, force: true });
  rmSync(join(dataset, "data"), { recursive: true });
  expect(await mended()).toMatchObject({ mended: false, refused: /dropped/ });
  expect(existsSync(dataset)).toBe(false);
});
