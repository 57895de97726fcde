import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Field, Int32, Schema, Utf8 } from "apache-arrow";
import { expect, onTestFinished, test } from "vitest";
import { blobName } from "../../src/engine/format/names.ts";
import { BackupManager, CorruptError, Repository, UnsupportedError } from "../../src/index.ts";
import { newDirectory } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";
import { silent } from "./sound.ts";

// A backup that would pass for a good one, and is none, is not made.

async function arrange() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  onTestFinished(() => db.close());
  const table = await makeSampleTable(db, "main");
  const repository = await Repository.init(location, { logger: silent });
  return { directory, uri, location, db, table, repository };
}

const dataFile = (uri: string) => {
  const folder = join(uri, "main.lance/data");
  return join(folder, readdirSync(folder).sort()[0] ?? "");
};

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
}

test("of tags that differ by case alone: refused by name, and nothing is in the way of others", async () => {
  const { uri, table, repository } = await arrange();
  await repository.backup({ source: uri, name: "before" });
  const tags = await table.tags();
  await tags.create("v1", 1);
  await tags.create("V1", 1);
  const wrong = repository.backup({ source: uri });
  await expect(wrong).rejects.toThrow(UnsupportedError);
  await expect(wrong).rejects.toThrow(/main.*_refs\/tags\/v1\.json/i);
  expect((await repository.get("latest")).name).toBe("before");
  await repository.prune({ keepLast: 1 });
});

test("of tables that differ by case alone", async () => {
  const { uri, db, repository } = await arrange();
  await makeSampleTable(db, "Main");
  await expect(repository.backup({ source: uri })).rejects.toThrow(UnsupportedError);
  await repository.backup({ source: uri, tables: ["main"] });
});

test("of a file that has rotted since the last, by a copy too: refused by name, and mended by heal", async () => {
  const { directory, uri, repository } = await arrange();
  const { id } = await repository.backup({ source: uri });
  // To another disk and back, as a move is: new inodes.
  const elsewhere = join(directory, "elsewhere");
  cpSync(uri, elsewhere, { recursive: true, preserveTimestamps: true });
  rmSync(uri, { recursive: true });
  renameSync(elsewhere, uri);
  flip(dataFile(uri));
  const wrong = repository.backup({ source: uri });
  await expect(wrong).rejects.toThrow(CorruptError);
  await expect(wrong).rejects.toThrow(new RegExp(`main.lance/data/.*snapshot ${id}`));
  expect((await repository.list()).map((snapshot) => snapshot.id)).toEqual([id]);
  const report = await repository.scrub(uri, { heal: true, snapshot: id });
  expect(report.damage.map(({ mended }) => mended)).toEqual([true]);
  await repository.backup({ source: uri });
});

test("of a rotten file whose good blob is lost", async () => {
  const { uri, location, repository } = await arrange();
  await repository.backup({ source: uri });
  const file = dataFile(uri);
  const good = readFileSync(file);
  for (const blob of blobsOf(location)) {
    const path = join(location, blobName(blob));
    if (readFileSync(path).equals(good)) rmSync(path);
  }
  flip(file);
  await expect(repository.backup({ source: uri })).rejects.toThrow(CorruptError);
});

function blobsOf(location: string): string[] {
  return readdirSync(join(location, "blobs"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
}

test("of a table that was on the LSM write path once, with its history: the newest version alone is taken", async () => {
  const { db, uri, repository } = await arrange();
  const schema = new Schema([new Field("id", new Int32(), false), new Field("text", new Utf8())]);
  const table = await db.createTable("lsm", [{ id: 1, text: "x" }], { schema });
  await table.setUnenforcedPrimaryKey("id");
  await table.setLsmWriteSpec({ specType: "unsharded" });
  await table.unsetLsmWriteSpec();
  const all = repository.backup({ source: uri });
  await expect(all).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringMatching(/ the newest alone can be backed up, with history: "latest"\.$/),
    hints: [{ options: { history: "latest" } }],
  });
  await using manager = new BackupManager({ uri });
  await expect(manager.createBackup("directory-copy")).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringMatching(
      / the newest alone can be backed up, with the strategy "lance-version"\.$/,
    ),
    hints: undefined,
  });
  await manager.cleanupBackup(await manager.createBackup("lance-version"));
  const { id } = await repository.backup({ source: uri, history: "latest" });
  expect((await repository.verify(id, { restoreTest: true })).filter(({ ok }) => !ok)).toEqual([]);
});
