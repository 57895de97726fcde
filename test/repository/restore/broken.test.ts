import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BackupError, CorruptError, UnsupportedError } from "../../../src/index.ts";
import { LanceCatalog } from "../../../src/sources/lancedb/lance-catalog.ts";
import { openSnapshot } from "../../../src/sources/lancedb/open-snapshot.ts";
import { lancedb } from "../../support/database.ts";
import { stampOf } from "../../support/files.ts";
import { BROKEN_BLOBS, BROKEN_DOCUMENTS, type Break } from "../broken.ts";
import { blobsOf } from "../lance-parts.ts";
import { type SoundRepository, silent, soundRepository } from "../sound.ts";
import { elsewhere, restoreTo, showing } from "./kinds.ts";

const BROKEN: Record<string, Break> = { ...BROKEN_BLOBS, ...BROKEN_DOCUMENTS };

/** By the way that a user takes: a snapshot's id. */
async function restoreById(
  { storage, directory }: SoundRepository,
  id: string,
  options: { target: string; link?: boolean; isElsewhere?: boolean },
): Promise<void> {
  const { isElsewhere, ...rest } = options;
  const place = isElsewhere ? elsewhere(storage) : storage;
  const content = await new LanceCatalog({ storage: place, logger: silent }).content(id);
  expect(existsSync(directory)).toBe(true);
  await restoreTo(place, content, rest);
}

describe.each(Object.keys(BROKEN))("%s", (what) => {
  test.each([
    ["copied", {}],
    ["linked", { link: true }],
    ["from elsewhere", { isElsewhere: true }],
  ])("%s: refused, nothing is left, and the other snapshot is restored", async (_how, options) => {
    const repository = await soundRepository();
    const parent = join(repository.directory, "..");
    const { hurt, object } = await BROKEN[what]!(repository);
    const names = readdirSync(parent);
    for (const { snapshot } of [repository.first, repository.second]) {
      const target = join(parent, "made", snapshot.id);
      if (!hurt.includes(snapshot.id)) {
        await restoreById(repository, snapshot.id, { target, ...options });
        expect(Object.keys(await showing(target))).toEqual(["main", "other"]);
        continue;
      }
      const before = stampOf(repository.directory);
      const outcome = await restoreById(repository, snapshot.id, { target, ...options }).catch(
        (error: unknown) => error,
      );
      expect(outcome).toBeInstanceOf(BackupError);
      expect(outcome instanceof CorruptError || outcome instanceof UnsupportedError).toBe(true);
      expect(what === "two blobs are swapped" || String(outcome).includes(object)).toBe(true);
      expect(existsSync(target)).toBe(false);
      expect(stampOf(repository.directory)).toEqual(before);
    }
    expect(readdirSync(parent).filter((name) => name !== "made")).toEqual(names);
    if (existsSync(join(parent, "made")))
      expect(readdirSync(join(parent, "made")).join()).not.toContain("partial");
  });

  test("in place: refused, and the database is as it was", async () => {
    const repository = await soundRepository();
    const { hurt } = await BROKEN[what]!(repository);
    const { uri, storage } = repository;
    await makeUnlike(uri);
    const before = await showing(uri);
    for (const id of hurt) {
      const catalog = new LanceCatalog({ storage, logger: silent });
      const outcome = catalog
        .content(id)
        .then((content) => restoreTo(storage, content, { target: uri, mode: "in-place" }));
      await expect(outcome).rejects.toThrow(BackupError);
    }
    expect(await showing(uri)).toEqual(before);
    expect(
      existsSync(join(uri, ".lancedb-backup", "staging"))
        ? readdirSync(join(uri, ".lancedb-backup", "staging"))
        : [],
    ).toEqual([]);
  });
});

test.each(["a blob is missing", "a blob is cut short", "a blob is a link to its content"])(
  "%s: a snapshot is not opened, and nothing is left",
  async (what) => {
    const repository = await soundRepository();
    await BROKEN[what]!(repository);
    const before = readdirSync(repository.directory);
    await expect(
      openSnapshot({ blobs: blobsOf(repository.storage), lancedb }, repository.second),
    ).rejects.toThrow(CorruptError);
    expect(readdirSync(repository.directory)).toEqual(before);
    await using opened = await openSnapshot(
      { blobs: blobsOf(repository.storage), lancedb },
      repository.first,
    );
    expect(await opened.tableNames()).toEqual(["main", "other"]);
  },
);

/** No file of the database is one that the snapshots know, so that all come from blobs. */
async function makeUnlike(uri: string): Promise<void> {
  const { connect } = await import("@lancedb/lancedb");
  const db = await connect(uri);
  await db.dropAllTables();
  await db.createTable("main", [{ id: 1 }]);
  await db.createTable("new", [{ id: 1 }]);
  db.close();
}
