import { join } from "node:path";
import { blob, type Connection, type Table } from "@lancedb/lancedb";
import { Field, Int32, Schema, Struct, Utf8 } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { PeriodicBackupManager, Repository } from "../../src/index.ts";
import { newDatabase, recordingLogger, type TestDatabase } from "../support/database.ts";

// A scan of a column of large values says where they lie, not what they are. Both change by themselves.

const schema = new Schema([
  new Field("id", new Int32()),
  new Field("name", new Utf8()),
  blob("body", { dedicatedSizeThreshold: 200_000 }),
]);
const SIZES = [10, 0, 100_000, 300, 300_000];
/** Small ones in the data file, packed ones beside it, one in a file of its own. */
const row = (id: number, salt = "") => ({
  id,
  name: `n${id}`,
  body: Buffer.alloc(SIZES[id % SIZES.length] ?? 0, `blob ${id} ${salt}`),
});
const rows = (from: number, count: number) => Array.from({ length: count }, (_, at) => row(from + at));

interface Place extends TestDatabase {
  readonly repository: Repository;
  readonly table: Table;
  snapshot(): Promise<string>;
  changes(from: string, to: string): Promise<unknown>;
}

async function newPlace(storageOptions: Record<string, string> = {}): Promise<Place> {
  const place = await newDatabase();
  const repository = await Repository.init(join(place.directory, "repo"), {
    logger: recordingLogger().logger,
  });
  const table = await place.db.createTable("docs", rows(0, 20), { schema, storageOptions });
  await table.add([...rows(20, 16), { id: 36, name: "n36", body: null }]);
  const snapshot = async () => (await repository.backup({ source: place.uri })).id;
  const changes = async (from: string, to: string) => {
    const { tables } = await repository.diff(from, to, { rows: "id" });
    return tables.find(({ id }) => id === "docs")?.rows;
  };
  return { ...place, repository, table, snapshot, changes };
}

const none = { comparable: true, added: 0, removed: 0, changed: 0 };

describe.each([
  ["row ids of addresses", {}],
  ["stable row ids", { new_table_enable_stable_row_ids: "true" }],
])("%s", (_, storageOptions) => {
  test("optimize changes nothing, a replaced payload is a change", async () => {
    const { table, snapshot, changes } = await newPlace(storageOptions);
    const first = await snapshot();
    await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000) });
    const second = await snapshot();
    expect(await changes(first, second)).toMatchObject(none);
    // Of the same size: inline, packed, and a file of its own; null becomes empty.
    const replaced = [0, 2, 4].map((id) => row(id, "anew"));
    const empty = { id: 36, name: "n36", body: Buffer.alloc(0) };
    await table
      .mergeInsert("id")
      .whenMatchedUpdateAll()
      .execute([...replaced, empty]);
    const third = await snapshot();
    expect(await changes(second, third)).toMatchObject({ ...none, changed: 4 });
    expect(await changes(first, third)).toMatchObject({ ...none, changed: 4 });
    await table.delete("id < 2");
    await table.add(rows(100, 3));
    await table.optimize();
    expect(await changes(third, await snapshot())).toMatchObject({ ...none, added: 3, removed: 2 });
  });
});

test("an update of another column leaves payloads equal", async () => {
  const { table, snapshot, changes } = await newPlace();
  const first = await snapshot();
  await table.update({ where: "id = 4", values: { name: "another" } });
  expect(await changes(first, await snapshot())).toMatchObject({ ...none, changed: 1 });
});

test("blobs inside of another column are refused by name", async () => {
  const place = await newPlace();
  const nested = new Schema([new Field("id", new Int32()), new Field("s", new Struct([blob("body")]))]);
  const make = (db: Connection) =>
    db.createTable("docs", [{ id: 1, s: { body: Buffer.from("a") } }], { schema: nested, mode: "overwrite" });
  const table = await make(place.db);
  const first = await place.snapshot();
  await table.add([{ id: 2, s: { body: Buffer.from("b") } }]);
  expect(await place.changes(first, await place.snapshot())).toEqual({
    comparable: false,
    why: expect.stringContaining("its column s keeps blobs inside of other values"),
  });
  const { uri, logger } = place;
  const backupDir = join(place.directory, "periodic");
  await using periodic = new PeriodicBackupManager({ uri, backupDir, logger });
  await expect(periodic.backupFull()).rejects.toThrow(/keeps blobs/);
});

test("restore tests read every payload", async () => {
  const { repository, snapshot } = await newPlace();
  const results = await repository.verify(await snapshot(), { restoreTest: true });
  expect(results.every(({ ok }) => ok)).toBe(true);
  expect(results.map(({ details }) => details).join()).toContain("36 large values");
});
