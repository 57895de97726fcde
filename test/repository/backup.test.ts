import { createHash } from "node:crypto";
import {
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { blobName } from "../../src/engine/format/names.ts";
import { Repository } from "../../src/repository/repository.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";
import { materialise, readDocument } from "./materialise.ts";

async function arrange() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  onTestFinished(() => db.close());
  const { logger, logged } = recordingLogger();
  const repository = await Repository.init(location, { logger });
  const back = async (id: string): Promise<Connection> => {
    const target = join(directory, `by-hand-${id}`);
    materialise(location, id, target);
    const connection = await connect(target);
    onTestFinished(() => connection.close());
    return connection;
  };
  const files = (id: string) => readDocument(location, id).files;
  return { directory, uri, location, db, repository, logged, back, files };
}

test("a snapshot holds every table: rows, indices, history, each file under its digest", async () => {
  const { uri, location, db, repository, back, files } = await arrange();
  await makeSampleTable(db, "main", { indices: true });
  await makeSampleTable(db, "other");
  const snapshot = await repository.backup({
    source: uri,
    name: "nightly",
    description: "all",
    tags: ["a", "b"],
  });
  expect(snapshot).toMatchObject({ name: "nightly", description: "all", tags: ["a", "b"], history: "all" });
  expect(await snapshotOf(await back(snapshot.id))).toEqual(await snapshotOf(db));
  const main = await db.openTable("main");
  const [{ versions, versionCount }] = snapshot.tables as [(typeof snapshot.tables)[0]];
  expect(versions.map(({ version }) => version)).toEqual(
    (await main.listVersions()).map(({ version }) => version),
  );
  expect(versionCount).toBe(versions.length);
  expect(versions.at(-1)?.rows).toBe(await main.countRows());
  for (const list of files(snapshot.id).values()) {
    for (const { sha256, size } of list) {
      const content = readFileSync(join(location, blobName(sha256)));
      expect(createHash("sha256").update(content).digest("hex")).toBe(sha256);
      expect(content.length).toBe(size);
    }
  }
});

test("every old version is there, too, and opens", async () => {
  const { uri, db, repository, back } = await arrange();
  const table = await makeSampleTable(db, "main");
  const { id } = await repository.backup({ source: uri });
  const restored = await (await back(id)).openTable("main");
  for (const { version } of await table.listVersions()) {
    await table.checkout(version);
    await restored.checkout(version);
    expect(await restored.countRows()).toBe(await table.countRows());
  }
});

test("`latest` leaves older versions out", async () => {
  const { uri, db, repository, back, files } = await arrange();
  await makeSampleTable(db, "main", { indices: true });
  const { id, tables } = await repository.backup({ source: uri, history: "latest" });
  expect(tables[0]?.versionCount).toBe(1);
  const manifests = files(id)
    .get("main.lance")
    ?.filter(({ path }) => path.startsWith("_versions/"));
  expect(manifests).toHaveLength(1);
  expect(await snapshotOf(await back(id))).toEqual(await snapshotOf(db));
});

test("what the snapshot before has is not read again", async () => {
  const { uri, db, repository, files } = await arrange();
  await makeSampleTable(db, "main", { indices: true });
  const data = filesBelow(join(uri, "main.lance", "data")).map((path) =>
    join(uri, "main.lance", "data", path),
  );
  const time = new Date("2026-01-01T00:00:00Z");
  for (const file of data) utimesSync(file, time, time);
  const first = await repository.backup({ source: uri });
  // Behind the back of size, time and number, so that only reading could tell.
  for (const file of data) {
    writeFileSync(file, Buffer.alloc(statSync(file).size), { flag: "r+" });
    utimesSync(file, time, time);
  }
  const second = await repository.backup({ source: uri });
  expect(second).toMatchObject({ newFiles: 0, newBytes: 0, files: first.files, bytes: first.bytes });
  const contentOf = (id: string) => [...files(id).values()].flat().map(({ sha256 }) => sha256);
  expect(contentOf(second.id)).toEqual(contentOf(first.id));
});

test("of a table that grew, only what is new is stored", async () => {
  const { uri, db, repository, files, back } = await arrange();
  const table = await makeSampleTable(db, "main", { indices: true });
  await makeSampleTable(db, "other");
  const first = await repository.backup({ source: uri });
  await table.add(sampleRows(100, 5));
  const second = await repository.backup({ source: uri });
  const before = new Set([...files(first.id).values()].flat().map(({ sha256 }) => sha256));
  const fresh = [...files(second.id).values()].flat().filter(({ sha256 }) => !before.has(sha256));
  expect(fresh.map(({ path }) => path.split("/")[0]).sort()).toEqual(["_versions", "data"]);
  expect(second.newFiles).toBe(2);
  expect(second.newBytes).toBe(fresh.reduce((sum, { size }) => sum + size, 0));
  expect(await snapshotOf(await back(second.id))).toEqual(await snapshotOf(db));
});

test("equal content of two databases is stored once", async () => {
  const { directory, uri, db, repository, location } = await arrange();
  await makeSampleTable(db, "main");
  await repository.backup({ source: uri });
  const blobs = filesBelow(join(location, "blobs")).sort();
  const { cpSync } = await import("node:fs");
  cpSync(uri, join(directory, "copy"), { recursive: true });
  const second = await repository.backup({ source: join(directory, "copy") });
  expect(second.newFiles).toBe(0);
  expect(filesBelow(join(location, "blobs")).sort()).toEqual(blobs);
});

test("tables can be chosen; a namespace's table brings what LanceDB knows of namespaces", async () => {
  const { uri, db, repository, back } = await arrange();
  await makeSampleTable(db, "main");
  await makeSampleTable(db, "other");
  await db.createNamespace(["ns"]);
  await makeSampleTable(db, "inner", { namespacePath: ["ns"] });
  const one = await repository.backup({ source: uri, tables: ["other"] });
  expect(one.tables.map(({ id }) => id)).toEqual(["other"]);
  const inner = await repository.backup({ source: uri, tables: ["ns$inner"] });
  expect(inner.tables.map(({ id }) => id)).toEqual(["__manifest", "ns$inner"]);
  const restored = await back(inner.id);
  expect(await (await restored.openTable("inner", ["ns"])).countRows()).toBe(39);
  await expect(repository.backup({ source: uri, tables: ["nobody"] })).rejects.toThrow(
    "There is no table nobody",
  );
});

test("tags are kept; branches are named as left out", async () => {
  const { uri, db, repository, back, logged } = await arrange();
  const table = await makeSampleTable(db, "main");
  await (await table.tags()).create("release", 2);
  await (await table.branches()).create("trial");
  const snapshot = await repository.backup({ source: uri });
  expect(snapshot.tables[0]).toMatchObject({ tags: ["release"], leftOut: ["branches: trial"] });
  expect(logged.some(({ level, message }) => level === "warn" && message.includes("not everything"))).toBe(
    true,
  );
  const restored = await (await back(snapshot.id)).openTable("main");
  expect(Object.keys(await (await restored.tags()).list())).toEqual(["release"]);
});

test("a new tag alone is seen, and a removed one", async () => {
  const { uri, db, repository } = await arrange();
  const table = await makeSampleTable(db, "main");
  await repository.backup({ source: uri });
  await (await table.tags()).create("release", 2);
  const tagged = await repository.backup({ source: uri });
  expect(tagged.tables[0]?.tags).toEqual(["release"]);
  await (await table.tags()).delete("release");
  const untagged = await repository.backup({ source: uri });
  expect(untagged.tables[0]?.tags).toEqual([]);
});

test("tables dropped, made anew and cleaned up since are as they are", async () => {
  const { uri, db, repository, back } = await arrange();
  const table = await makeSampleTable(db, "main");
  await makeSampleTable(db, "gone");
  await repository.backup({ source: uri });
  await db.dropTable("gone");
  await db.dropTable("main");
  await db.createTable("main", sampleRows(500, 3));
  const anew = await repository.backup({ source: uri });
  expect(anew.tables.map(({ id }) => id)).toEqual(["main"]);
  expect(await snapshotOf(await back(anew.id))).toEqual(await snapshotOf(db));
  await (await db.openTable("main")).optimize({ cleanupOlderThan: new Date() });
  const cleaned = await repository.backup({ source: uri });
  expect(await snapshotOf(await back(cleaned.id))).toEqual(await snapshotOf(db));
  table.close();
});

test.each(["missing", "cut short"])("a blob that is %s is written again by the next backup", async (how) => {
  const { uri, db, repository, location, back, files, logged } = await arrange();
  await makeSampleTable(db, "main");
  const first = await repository.backup({ source: uri });
  const data = files(first.id)
    .get("main.lance")
    ?.find(({ path }) => path.startsWith("data/"));
  const blob = join(location, blobName(data?.sha256 ?? ""));
  if (how === "missing") rmSync(blob);
  else truncateSync(blob, 10);
  const second = await repository.backup({ source: uri });
  expect(second.newFiles).toBe(1);
  expect(logged.some(({ message }) => message.includes("missing or cut short"))).toBe(true);
  for (const { id } of [first, second])
    expect(await snapshotOf(await back(id))).toEqual(await snapshotOf(db));
});

test("an abort at any moment leaves no snapshot and no temporary file, and the next run uses what is there", async () => {
  const { uri, db, repository, location, back } = await arrange();
  const table = await makeSampleTable(db, "main");
  for (let i = 0; i < 10; i++) await table.add(sampleRows(1000 * i, 10));
  const controller = new AbortController();
  const reason = new Error("enough");
  const stopped = repository.backup({
    source: uri,
    signal: controller.signal,
    onProgress: ({ files }) => void (files === 20 && controller.abort(reason)),
  });
  await expect(stopped).rejects.toBe(reason);
  expect(await repository.list()).toEqual([]);
  const left = filesBelow(join(location, "blobs"));
  expect(left.length).toBeGreaterThan(0);
  expect(left.every((path) => /^[0-9a-f]{2}\/[0-9a-f]{64}$/.test(path))).toBe(true);
  expect(readdirSync(join(location, "leases"))).toEqual([]);
  const snapshot = await repository.backup({ source: uri });
  expect(snapshot.newFiles).toBe(snapshot.files - left.length);
  expect(await snapshotOf(await back(snapshot.id))).toEqual(await snapshotOf(db));
});

test("nothing stays in the database but its id", async () => {
  const { uri, db, repository } = await arrange();
  await makeSampleTable(db, "main");
  const before = filesBelow(uri).sort();
  await repository.backup({ source: uri });
  const added = filesBelow(uri).filter((path) => !before.includes(path));
  expect(added).toEqual([expect.stringMatching(/^\.lancedb-backup\/identity\/[0-9a-f]{16}$/)]);
});

test("blobs have no write bits, and are readable by nobody who could not read the files", async () => {
  const { uri, db, repository, location, files } = await arrange();
  await makeSampleTable(db, "main");
  const { chmodSync } = await import("node:fs");
  const secret = join(uri, "main.lance", "data", filesBelow(join(uri, "main.lance", "data"))[0] ?? "");
  chmodSync(secret, 0o600);
  const { id } = await repository.backup({ source: uri });
  for (const { path, sha256 } of files(id).get("main.lance") ?? []) {
    const mode = statSync(join(location, blobName(sha256))).mode & 0o777;
    expect(mode & 0o222).toBe(0);
    if (secret.endsWith(path)) expect(mode).toBe(0o400);
  }
});

test("a directory without a table is no snapshot, unless it is meant", async () => {
  const { uri, db, repository, location } = await arrange();
  const refused = (source: string, why: RegExp) =>
    expect(repository.backup({ source })).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringMatching(why),
    });
  await refused(uri, /^There is no table in .*, so no snapshot was made\./);
  expect(await repository.backup({ source: uri, allowEmpty: true })).toMatchObject({ files: 0, tables: [] });
  await makeSampleTable(db, "main");
  await refused(join(uri, "main.lance"), new RegExp(`directory of a table; its database is ${uri}\\.`));
  await refused(location, /is a repository, not a database/);
  expect(await repository.list()).toHaveLength(1);
});

test("a damaged newest manifest is named, and no snapshot made", async () => {
  const { uri, db, repository } = await arrange();
  await makeSampleTable(db, "main");
  const versions = join(uri, "main.lance", "_versions");
  const newest =
    readdirSync(versions)
      .filter((name) => name.endsWith(".manifest"))
      .sort()[0] ?? "";
  truncateSync(join(versions, newest), 10);
  await expect(repository.backup({ source: uri })).rejects.toMatchObject({
    code: "CORRUPT",
    message: expect.stringContaining(newest),
  });
  expect(await repository.list()).toEqual([]);
});

test.each([
  [{ source: "" }, "VALIDATION"],
  [{ source: "no/such/directory" }, "VALIDATION"],
  [{ source: "s3://bucket/db" }, "UNSUPPORTED"],
  [{ name: "latest" }, "VALIDATION"],
  [{ name: "a b" }, "VALIDATION"],
  [{ tags: ["../x"] }, "VALIDATION"],
  [{ tables: [] }, "VALIDATION"],
  [{ tables: ["../main"] }, "VALIDATION"],
  [{ history: "some" }, "VALIDATION"],
  [{ description: "x".repeat(10_001) }, "VALIDATION"],
  [{ lockTimeoutMs: -1 }, "VALIDATION"],
])("options %j are refused as %s, and nothing changes", async (options, code) => {
  const { uri, db, repository, location } = await arrange();
  await makeSampleTable(db, "main");
  // That something was tried may be in the audit log.
  const kept = () => filesBelow(location).filter((path) => !path.startsWith("audit/"));
  const before = kept();
  const call = repository.backup({ source: uri, ...(options as object) });
  await expect(call).rejects.toMatchObject({ code });
  expect(kept()).toEqual(before);
});
