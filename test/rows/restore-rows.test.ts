import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { CorruptError, LanceError, ValidationError } from "../../src/errors.ts";
import { BackupManager } from "../../src/guard/backup-manager.ts";
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
