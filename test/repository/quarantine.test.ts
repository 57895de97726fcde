import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { blobName } from "../../src/engine/format/names.ts";
import { BROKEN_BLOBS } from "./broken.ts";
import { filesOf, soundRepository } from "./sound.ts";
import { run, short } from "./verify-run.ts";

/** A repository with a damaged blob, and what happens to that once verify has read it. */
async function damagedMeanwhile(change: (path: string, good: Buffer) => void) {
  const repository = await soundRepository();
  const bodies = new Map(
    filesOf(repository.second).map(({ sha256 }) => {
      const path = join(repository.directory, blobName(sha256));
      return [path, readFileSync(path)];
    }),
  );
  const broken = await BROKEN_BLOBS["a bit of a blob is flipped"]?.(repository);
  const blob = join(repository.directory, broken?.object ?? "");
  const results = await run(repository.storage, undefined, {
    quarantine: true,
    onProgress: ({ files, totalFiles }) => {
      if (files === totalFiles) change(blob, bodies.get(blob) ?? Buffer.alloc(0));
    },
  });
  const moved = join(repository.directory, "quarantine");
  return { ...repository, results, blob, quarantined: existsSync(moved) ? readdirSync(moved) : [] };
}

test("a blob that a backup has stored anew since it was read stays", async () => {
  const { storage, results, blob, quarantined } = await damagedMeanwhile((path, good) => {
    rmSync(path);
    writeFileSync(path, good);
  });
  expect(results.map(short)).toContain(" repository ok");
  expect(results.filter(({ check }) => check === "quarantine")).toEqual([]);
  expect([existsSync(blob), quarantined]).toEqual([true, []]);
  expect((await run(storage)).filter(({ ok }) => !ok)).toEqual([]);
});

test("a blob that is gone by then ends nothing", async () => {
  const { results, quarantined } = await damagedMeanwhile((path) => rmSync(path));
  expect(results.some(({ check, ok }) => check === "integrity" && !ok)).toBe(true);
  expect(quarantined).toEqual([]);
});

test("what is damaged still is moved", async () => {
  const { blob, quarantined } = await damagedMeanwhile(() => undefined);
  expect(existsSync(blob)).toBe(false);
  expect(quarantined).toHaveLength(1);
});
