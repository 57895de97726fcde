import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { blob, connect, embedding } from "@lancedb/lancedb";
import { TextEmbeddingFunction } from "@lancedb/lancedb/embedding";
import { Field, Int32, Schema } from "apache-arrow";
import { expect, onTestFinished, test } from "vitest";
import { CorruptError, LanceError, UnsupportedError, ValidationError } from "../../src/errors.ts";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { insertRecordsWithBackup } from "../../src/guard/write/insert-records.ts";
import { Repository } from "../../src/repository/repository.ts";
import { restoreRowsWithBackup } from "../../src/rows/restore-rows.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow, stampOf } from "../support/files.ts";
import { rejection } from "../support/pieces.ts";

interface Row {
  id: number;
  text: string;
  vector: number[];
}

class Lengths extends TextEmbeddingFunction {
  override ndims(): number {
    return 1;
  }
  override async generateEmbeddings(texts: string[]): Promise<number[][]> {
    return texts.map((text) => [text.length]);
  }
}
embedding.register("lengths-of-rows-that-come-back")(Lengths);

const row = (id: number, text = `text ${id}`): Row => ({ id, text, vector: [id, 0.5] });

/** A snapshot of five rows, of which one is gone since and another changed; a sixth is new. */
async function newPlace() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "vault")];
  const db = await connect(uri);
  onTestFinished(() => db.close());
  const table = await db.createTable("documents", [1, 2, 3, 4, 5].map((id) => row(id)) as never);
  const repository = await Repository.init(location, { logger: silent });
  await repository.backup({ source: uri });
  await table.delete("id = 1");
  await table.update({ where: "id = 2", values: { text: "spoiled" } });
  await table.add([row(6)] as never);
  const manager = new BackupManager({ uri, backupDir: join(directory, "backups"), logger: silent });
  onTestFinished(() => manager[Symbol.asyncDispose]());
  const rows = async () => {
    await table.checkoutLatest();
    const all = (await table.query().toArray()) as Row[];
    return all.map(({ id, text }) => `${id} ${text}`).sort();
  };
  return { directory, uri, location, db, table, repository, manager, rows };
}

const BEFORE = ["2 spoiled", "3 text 3", "4 text 4", "5 text 5", "6 text 6"];
const AFTER = ["1 text 1", "2 text 2", "3 text 3", "4 text 4", "5 text 5", "6 text 6"];

test("rows come back by a filter: what is gone and what changed; all others stay; a dry run tells it", async () => {
  const { directory, repository, manager, rows } = await newPlace();
  const request = { manager, table: "documents", rows: "id <= 3" };
  const before = stampOf(join(directory, "db"));
  const planned = await restoreRowsWithBackup(repository, "latest", { ...request, dryRun: true });
  expect(planned).toMatchObject({ table: "documents", dryRun: true, added: 1, changed: 1, same: 1 });
  expect(stampOf(join(directory, "db"))).toEqual(before);
  expect(await rows()).toEqual(BEFORE);
  const done = await restoreRowsWithBackup(repository, "latest", request);
  expect(done).toMatchObject({ dryRun: false, added: 1, changed: 1, same: 1, snapshot: planned.snapshot });
  expect(done.version).toBeGreaterThan(planned.version);
  // Behind it stands that its files were restored to be looked at.
  expect((await repository.restores())[0]).toMatchObject({
    ...{ snapshot: done.snapshot, targets: [manager.uri], mode: "rows", outcome: "success" },
  });
  expect(await rows()).toEqual(AFTER);
  const again = await restoreRowsWithBackup(repository, "latest", request);
  expect(again).toMatchObject({ added: 0, changed: 0, same: 3, version: done.version });
});

test("by their keys, and as they were at a moment", async () => {
  const { table, repository, manager, rows, uri } = await newPlace();
  const at = new Date();
  await new Promise((resolve) => setTimeout(resolve, 5));
  await table.delete("id = 4");
  await repository.backup({ source: uri });
  const options = { manager, table: "documents", keys: [2, 4], at };
  expect(await restoreRowsWithBackup(repository, "latest", options)).toMatchObject({ added: 1, same: 1 });
  expect(await rows()).toEqual(BEFORE); // with the spoiled row, as it was then
});

test("a failure on the way leaves the table as it was", async () => {
  const { repository, manager, rows } = await newPlace();
  const withBackup = manager.withBackup.bind(manager);
  // The work is done, and then fails.
  manager.withBackup = (async (strategy: never, work: (db: unknown) => Promise<unknown>, options: never) =>
    withBackup(
      strategy,
      async (db) => {
        await work(db);
        throw new Error("the work failed");
      },
      options,
    )) as never;
  const options = { manager, table: "documents", rows: "true" };
  expect(await rejection(restoreRowsWithBackup(repository, "latest", options))).toMatchObject({
    message: "the work failed",
  });
  expect(await rows()).toEqual(BEFORE);
});

test("damaged files give no rows", async () => {
  const { location, repository, manager, rows } = await newPlace();
  const blobs = filesBelow(join(location, "blobs")).map((name) => join(location, "blobs", name));
  for (const path of blobs) {
    const bytes = readFileSync(path);
    if (bytes.includes("LANC") && bytes.includes("text 1")) {
      chmodSync(path, 0o644);
      writeFileSync(path, Buffer.from(bytes.toString("latin1").replace("text 1", "tixt 1"), "latin1"));
    }
  }
  const options = { manager, table: "documents", rows: "id = 1" };
  expect(await rejection(restoreRowsWithBackup(repository, "latest", options))).toBeInstanceOf(CorruptError);
  expect(await rows()).toEqual(BEFORE);
});

test("what cannot be is refused before anything is written", async () => {
  const { uri, directory, db, table, repository, manager } = await newPlace();
  await db.createTable("young", [{ id: 1 }]);
  const before = stampOf(uri);
  const base = { manager, table: "documents" };
  const refused = [
    { ...base, rows: "id = 99" },
    { ...base },
    { ...base, rows: "id = 1", keys: [1] },
    { ...base, rows: " " },
    { ...base, keys: [] },
    { ...base, keys: ["one"] },
    { ...base, keys: [null] },
    { ...base, rows: "id = 1", key: "missing" },
    { ...base, rows: "id = 1", key: "vector" },
    { ...base, table: "young", rows: "id = 1" },
    { ...base, rows: "id = 1", misspelt: true },
    { table: "documents", rows: "id = 1", uri: join(directory, "nowhere"), source: uri },
  ];
  for (const options of refused) {
    const restored = restoreRowsWithBackup(repository, "latest", options as never);
    expect(await rejection(restored), JSON.stringify(options)).toBeInstanceOf(ValidationError);
  }
  const bad = restoreRowsWithBackup(repository, "latest", { ...base, rows: "no_such_column = 1" });
  expect(await rejection(bad)).toBeInstanceOf(LanceError);
  expect(stampOf(uri)).toEqual(before);
  await table.dropColumns(["text"]);
  const lacking = restoreRowsWithBackup(repository, "latest", { ...base, rows: "id = 1" });
  expect(await rejection(lacking)).toMatchObject({
    message: expect.stringContaining("lacks the column text"),
  });
  expect(readdirSync(directory)).not.toContain("nowhere");
});

test("where two rows have one key none is written over: in the snapshot, seen by the filter or not, and in the live table", async () => {
  const { uri, db, table, repository, manager, rows } = await newPlace();
  const twins = await db.createTable("twins", [row(1, "A"), row(1, "B")] as never);
  const { id } = await repository.backup({ source: uri });
  await twins.delete("text = 'A'");
  await table.add([row(5, "twin")] as never);
  await table.update({ where: "id = 5 and text <> 'twin'", values: { text: "other" } });
  const [before, liveRows] = [stampOf(uri), await rows()];
  for (const options of [
    { table: "twins", rows: "id = 1" },
    { table: "twins", rows: "text = 'A'" },
    { table: "twins", keys: [1] },
    { table: "documents", keys: [5] },
    { table: "documents", rows: "true" },
  ]) {
    const dryRun = options.rows !== "text = 'A'";
    const error = await rejection(restoreRowsWithBackup(repository, id, { manager, dryRun, ...options }));
    expect(error, JSON.stringify(options)).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ message: expect.stringContaining("Two rows of the") });
  }
  expect(stampOf(uri)).toEqual(before);
  expect(await rows()).toEqual(liveRows);
});

test("a key that is named twice counts once", async () => {
  const { repository, manager } = await newPlace();
  const keys = [1, 3, ...Array.from({ length: 100_000 }, () => 1), 3];
  const planned = await restoreRowsWithBackup(repository, "latest", {
    ...{ manager, table: "documents", keys, dryRun: true },
  });
  expect(planned).toMatchObject({ added: 1, changed: 0, same: 1 });
});

test("rows with blobs, which a scan does not compare, are refused", async () => {
  const { uri, db, repository, manager } = await newPlace();
  const schema = new Schema([new Field("id", new Int32()), blob("body")]);
  const docs = await db.createTable("docs", [{ id: 1, body: Buffer.from("before") }], { schema });
  await repository.backup({ source: uri });
  await docs.delete("id = 1");
  await docs.add([{ id: 1, body: Buffer.from("behind") }]);
  const before = stampOf(uri);
  const restored = restoreRowsWithBackup(repository, "latest", { manager, table: "docs", keys: [1] });
  const error = await rejection(restored);
  expect(error).toBeInstanceOf(UnsupportedError);
  expect(error).toMatchObject({ message: expect.stringContaining("column body of table docs") });
  expect(stampOf(uri)).toEqual(before);
});

test("rows that others change until the table is locked are seen", async () => {
  const { table, repository, manager, rows } = await newPlace();
  const withBackup = manager.withBackup.bind(manager);
  manager.withBackup = (async (strategy: never, work: never, options: never) => {
    await table.update({ where: "id = 3", values: { text: "spoiled since" } });
    return withBackup(strategy, work, options);
  }) as never;
  const options = { manager, table: "documents", rows: "id <= 3" };
  const done = await restoreRowsWithBackup(repository, "latest", options);
  expect(done).toMatchObject({ added: 1, changed: 2, same: 0 });
  expect(await rows()).toEqual(AFTER);
});

test("a vector that was null comes back null, also where the table has an embedding function", async () => {
  const { uri, db, repository, manager } = await newPlace();
  const texts = [
    { id: 1, text: "one" },
    { id: 2, text: null },
  ];
  const made = { function: new Lengths(), source: "text" };
  await insertRecordsWithBackup(texts, { manager, table: "embedded", embedding: made });
  const table = await db.openTable("embedded");
  await table.update({ where: "id = 2", values: { text: "later" } });
  await repository.backup({ source: uri });
  await table.delete("true");
  await restoreRowsWithBackup(repository, "latest", { manager, table: "embedded", keys: [1, 2] });
  await table.checkoutLatest();
  const found = (await table.query().toArray()) as { id: number; vector: Iterable<number> | null }[];
  const vectors = found.map(({ id, vector }) => [id, vector && [...vector]]);
  expect(vectors.sort()).toEqual([
    [1, [3]],
    [2, null],
  ]);
});
