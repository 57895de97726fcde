import { rmSync } from "node:fs";
import { join } from "node:path";
import { connect, type Table } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { filesOf, takeSnapshot } from "../sound.ts";
import { newRestorePlace, restoreTo } from "./kinds.ts";

const some = (from: number) => [{ id: from }, { id: from + 1 }];
const idsOf = async (table: Table) => (await table.query().toArray()).map(({ id }) => id as number).sort();

async function at(uri: string, version: number | string): Promise<number[]> {
  const table = await (await connect(uri)).openTable("t");
  await table.checkout(version);
  return idsOf(table);
}

test("over a table made anew, no tag comes to name what it did not, and those that would are told", async () => {
  const { db, uri, storage } = await newRestorePlace();
  const old = await db.createTable("t", some(0));
  await old.add(some(10));
  await old.add(some(20));
  await (await old.tags()).create("good", 2);
  const content = await takeSnapshot(storage, uri);
  await db.dropTable("t");
  const made = await db.createTable("t", some(900));
  await made.add(some(910));
  await (await made.tags()).create("mine", 2);
  const report = await restoreTo(storage, content, { target: uri, mode: "in-place" });
  expect(await at(uri, "good")).toEqual([0, 1, 10, 11]);
  expect(report.leftOut).toEqual([
    {
      table: "t",
      what: expect.stringMatching(/^tag mine, which is not of the snapshot: .*another version's now/),
    },
  ]);
});

test("of a snapshot of the newest version alone, a tag on an older one is left out, and put on nobody's", async () => {
  const { db, uri, storage } = await newRestorePlace();
  const old = await db.createTable("t", some(0));
  await (await old.tags()).create("good", 1);
  await old.add(some(10));
  await (await old.tags()).create("newest", 2);
  const content = await takeSnapshot(storage, uri, { history: "latest" });
  expect(content.snapshot.tables[0]).toMatchObject({
    tags: ["newest"],
    leftOut: ["tag good: its version is not backed up"],
  });
  expect(filesOf(content, "t").map(({ path }) => path)).not.toContain("_refs/tags/good.json");
  await db.dropTable("t");
  const made = await db.createTable("t", some(900));
  await made.add(some(910));
  const report = await restoreTo(storage, content, { target: uri, mode: "in-place" });
  expect(report.leftOut).toEqual([{ table: "t", what: "tag good: its version is not backed up" }]);
  await expect(at(uri, "good")).rejects.toThrow();
  expect(await at(uri, "newest")).toEqual([0, 1, 10, 11]);
});

test("a lost file of an older version comes back, also where the table shows the snapshot already", async () => {
  const { db, uri, storage } = await newRestorePlace();
  const table = await db.createTable("t", some(0));
  await table.add(some(10));
  await table.delete("id < 10");
  await table.optimize();
  const content = await takeSnapshot(storage, uri);
  const older = filesOf(content, "t").filter(({ path }) => path.startsWith("data/"));
  for (const { path } of older) rmSync(join(uri, "t.lance", path));
  const report = await restoreTo(storage, content, { target: uri, mode: "in-place" });
  expect(report.tables[0]).toMatchObject({ action: "keep" });
  expect(await at(uri, 2)).toEqual([0, 1, 10, 11]);
});
