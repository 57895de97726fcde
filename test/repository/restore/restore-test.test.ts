import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Index, makeArrowTable, VectorColumnOptions } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { CorruptError, LanceError, ValidationError } from "../../../src/index.ts";
import { restoreTest } from "../../../src/sources/lancedb/restore-test/restore-test.ts";
import { lancedb } from "../../support/database.ts";
import { filesBelow } from "../../support/files.ts";
import { makeSampleTable } from "../../support/sample.ts";
import { BROKEN_BLOBS } from "../broken.ts";
import { blobsOf } from "../lance-parts.ts";
import { silent, soundRepository, takeSnapshot } from "../sound.ts";
import { elsewhere, makeAllKinds, newRestorePlace, sampleRows } from "./kinds.ts";

describe("a sound snapshot", () => {
  test.each(["local", "elsewhere"])("of every kind of table passes, %s", async (where) => {
    const { db, uri, storage } = await newRestorePlace();
    await makeAllKinds(db);
    const content = await takeSnapshot(storage, uri);
    const place = where === "local" ? storage : elsewhere(storage);
    const names = readdirSync(storage.directory);
    const results = await restoreTest({ blobs: blobsOf(place), logger: silent, lancedb }, content);
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.filter(({ index }) => index === undefined).map(({ table }) => table)).toEqual(
      content.snapshot.tables.map(({ id }) => id),
    );
    expect(
      results.filter(({ table, index }) => table === "main" && index).map(({ details }) => details),
    ).toEqual([
      expect.stringMatching(/rows with a row's own value were found/),
      expect.stringMatching(/^The word ".+" was found/),
      expect.stringMatching(/^The nearest neighbour/),
    ]);
    expect(results.find(({ table }) => table === "blobs")?.details).toMatch(
      /3 rows read, and 3 large values/,
    );
    expect(readdirSync(storage.directory)).toEqual(names);
  });

  test("every kind of index is queried", async () => {
    const { db, uri, storage } = await newRestorePlace();
    const rows = sampleRows(0, 300).map((row) => ({
      ...row,
      tags: [row.group, "all"],
      bin: Buffer.from(row.text),
    }));
    const table = await db.createTable("main", rows);
    const configs = { id: Index.btree(), group: Index.bitmap(), tags: Index.labelList() };
    for (const [column, config] of Object.entries(configs)) await table.createIndex(column, { config });
    await table.createIndex("text", { config: Index.fts({ baseTokenizer: "ngram" }) });
    await table.createIndex("score", { config: Index.btree(), name: "odd name" });
    const content = await takeSnapshot(storage, uri);
    const results = await restoreTest({ blobs: blobsOf(storage), logger: silent, lancedb }, content);
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.filter(({ details }) => /found/.test(details)).length).toBe(5);
  });

  test("an index is queried whatever its column is called, inside of a struct too", async () => {
    const { db, uri, storage } = await newRestorePlace();
    const rows = Array.from({ length: 300 }, (_, id) => ({
      "a-b": id,
      "a b": `word${id}`,
      "a/b": id,
      "ve-c": [id, 1, 2, 3],
      s: { plain: id, "x-y": id, "d.ot": id, "t t": `inner${id}`, deep: { "k k": id } },
    }));
    const vectorColumns = { "ve-c": new VectorColumnOptions() };
    const table = await db.createTable("odd", makeArrowTable(rows, { vectorColumns }));
    const scalar = ["a-b", "a/b", "s.plain", "s.x-y", "s.`d.ot`", "s.deep.k k"];
    for (const column of scalar) await table.createIndex(column, { config: Index.btree() });
    for (const column of ["a b", "s.t t"]) await table.createIndex(column, { config: Index.fts() });
    await table.createIndex("ve-c", { config: Index.ivfFlat({ numPartitions: 2 }) });
    const content = await takeSnapshot(storage, uri);
    const results = await restoreTest({ blobs: blobsOf(storage), logger: silent, lancedb }, content);
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.filter(({ details }) => /found/.test(details)).length).toBe(9);
  });

  test("an index over nothing, and an empty table, pass", async () => {
    const { db, uri, storage } = await newRestorePlace();
    const table = await db.createTable("main", sampleRows(0, 20));
    await table.createIndex("id", { config: Index.btree() });
    await table.createIndex("text", { config: Index.fts() });
    await table.delete("true");
    const results = await restoreTest(
      { blobs: blobsOf(storage), logger: silent, lancedb },
      await takeSnapshot(storage, uri),
    );
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.length).toBe(3);
  });

  test("a sample reads a part of the rows", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 1000));
    const content = await takeSnapshot(storage, uri);
    const context = { blobs: blobsOf(storage), lancedb, logger: silent };
    const [result] = await restoreTest(context, content, { sample: 0.1 });
    expect(result?.details).toMatch(/11\d of 1000 rows read|10\d of 1000 rows read/);
    for (const sample of [0, -1, 1.1, Number.NaN]) {
      await expect(restoreTest(context, content, { sample })).rejects.toThrow(ValidationError);
    }
  });
});

describe("what is wrong in the database itself is told", () => {
  test("an index file that was damaged before the backup, rows that are not those of the snapshot", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await makeSampleTable(db, "main", { indices: true });
    for (const path of filesBelow(join(uri, "main.lance", "_indices"))) {
      const file = join(uri, "main.lance", "_indices", path);
      if (path.endsWith("page_data.lance")) writeFileSync(file, Buffer.alloc(statSync(file).size));
    }
    const content = await takeSnapshot(storage, uri);
    const [table] = content.snapshot.tables;
    const versions = table!.versions.map((entry) => ({ ...entry, rows: entry.rows + 1 }));
    const wrong = { ...content, snapshot: { ...content.snapshot, tables: [{ ...table!, versions }] } };
    const results = await restoreTest({ blobs: blobsOf(storage), logger: silent, lancedb }, wrong);
    expect(results.map(({ index, ok }) => [index, ok])).toEqual([
      [undefined, false],
      ["id_idx", false],
      ["text_idx", true],
      ["vector_idx", true],
    ]);
    expect(results[0]?.details).toMatch(/rows of version 1 is 20 where the snapshot says 21/);
    expect(results[1]?.error).toBeInstanceOf(LanceError);
  });
});

test.each(Object.keys(BROKEN_BLOBS))("%s: an answer for each table, and nothing is left", async (what) => {
  const repository = await soundRepository();
  const { hurt } = await BROKEN_BLOBS[what]!(repository);
  for (const content of [repository.first, repository.second]) {
    const results = await restoreTest(
      { blobs: blobsOf(repository.storage), logger: silent, lancedb },
      content,
    );
    const isHurt = hurt.includes(content.snapshot.id);
    expect(results.every(({ ok }) => ok)).toBe(!isHurt);
    if (isHurt)
      expect(results.map(({ error }) => error)).toEqual([expect.any(CorruptError), expect.any(CorruptError)]);
  }
  expect(readdirSync(repository.directory).filter((name) => name.startsWith("."))).toEqual([]);
});
