import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { thisProcess } from "../../src/fs/this-process.ts";
import { findChain } from "../../src/periodic/chain/find-chain.ts";
import { OpenChain } from "../../src/periodic/replay/replay-chain.ts";
import { applyDelta, loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { type RestoreLatestOptions, restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, rowsOf } from "./harness.ts";

/** A full and three deltas, of a row each. */
async function chain(place: Place): Promise<string[]> {
  const table = await (await place.db()).createTable("a", rowsOf([0]));
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  for (const id of [1, 2, 3]) {
    await table.add(rowsOf([id]));
    await manager.backupDelta();
  }
  return place.files().map((name) => join(place.backupDir, name));
}

/** Restoring must fail with this code, name the file, and leave nothing at the target or beside it. */
async function assertRefused(
  place: Place,
  code: string,
  named: string | undefined,
  options?: RestoreLatestOptions,
): Promise<void> {
  const target = place.fresh();
  const before = readdirSync(place.root);
  const message = expect.stringContaining(named ?? "");
  await expect(restoreLatest(place.backupDir, target, options)).rejects.toMatchObject({ code, message });
  expect(readdirSync(place.root)).toEqual(before);
}

test("a missing delta is missed", async () => {
  await using place = new Place();
  const [, , second] = await chain(place);
  rmSync(second!);
  await assertRefused(place, "CORRUPT", second!.split("/").at(-1));
});

test("a missing full is missed", async () => {
  await using place = new Place();
  const [full] = await chain(place);
  rmSync(full!);
  await assertRefused(place, "CORRUPT", full!.split("/").at(-1));
});

test("deltas that changed places are refused", async () => {
  await using place = new Place();
  const [, first, second] = await chain(place);
  renameSync(first!, `${place.root}/x`);
  renameSync(second!, first!);
  renameSync(`${place.root}/x`, second!);
  await assertRefused(place, "CORRUPT", place.backupDir);
});

test("a delta of another database is refused, and in nobody's way where this one is named", async () => {
  await using place = new Place();
  await using other = new Place();
  const files = await chain(place);
  const others = await chain(other);
  const name = files[3]!.replace(/_\d{6}\./, "_999999.");
  copyFileSync(others[3]!, name);
  await assertRefused(place, "VALIDATION", place.backupDir);
  const summary = await restoreLatest(place.backupDir, place.fresh(), { database: place.uri });
  expect(summary.deltas).toHaveLength(3);
});

test("a full put in another's place is refused", async () => {
  await using place = new Place();
  await using other = new Place();
  const files = await chain(place);
  const others = await chain(other);
  copyFileSync(others[0]!, files[0]!);
  await assertRefused(place, "VALIDATION", place.backupDir);
  await assertRefused(place, "CORRUPT", files[0], { database: place.uri });
});

for (const at of [0, 1, 2, 3]) {
  test(`a flipped byte in file ${at} is refused`, async () => {
    await using place = new Place();
    const files = await chain(place);
    const bytes = readFileSync(files[at]!);
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    writeFileSync(files[at]!, bytes);
    await assertRefused(place, "CORRUPT", files[at]);
  });
}

test("every moment of a chain can be restored, and none before it", async () => {
  await using place = new Place();
  const files = await chain(place);
  for (const [index, file] of files.entries()) {
    const { timestamp } = JSON.parse(readFileSync(file, "utf8")) as { timestamp: number };
    const target = place.fresh();
    const at = new Date(Math.floor(timestamp * 1000));
    const summary = await restoreLatest(place.backupDir, target, { at });
    expect(summary).toMatchObject({ deltas: { length: index }, tables: { a: index + 1 } });
    expect(summary.at.getTime()).toBe(at.getTime());
  }
  await expect(restoreLatest(place.backupDir, place.fresh(), { at: new Date(0) })).rejects.toMatchObject({
    code: "BACKUP_NOT_FOUND",
  });
});

test("a long chain is restored whole, and keeps few of its files open at a time", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([0]));
  const manager = place.manager({ incremental: true, maxDeltasBeforeFull: 200 });
  await manager.backupFull();
  for (let id = 1; id <= 66; id++) {
    await table.add(rowsOf([id]));
    await manager.backupDelta();
  }
  const { paths } = await findChain(place.backupDir, undefined);
  await using chain = await OpenChain.open(paths);
  if (existsSync("/proc/self/fd")) {
    const open = readdirSync("/proc/self/fd").map((fd) => {
      const path = join("/proc/self/fd", fd);
      return existsSync(path) ? readlinkSync(path, { encoding: "utf8" }) : ""; // the listing's own is closed
    });
    expect(open.filter((path) => paths.includes(path)).length).toBeLessThanOrEqual(64);
  }
  const last = paths.at(-1)!;
  copyFileSync(paths[1]!, last);
  await expect(chain.files.at(-1)!.read(async () => undefined)).rejects.toMatchObject({ code: "CORRUPT" });
  rmSync(last);
  const summary = await restoreLatest(place.backupDir, place.fresh());
  expect(summary.tables).toEqual({ a: 66 });
});

test("nothing is restored over what is there", async () => {
  await using place = new Place();
  const [full, first] = await chain(place);
  const before = await contentOf(place.uri);
  await expect(restoreLatest(place.backupDir, place.uri)).rejects.toMatchObject({ code: "VALIDATION" });
  await expect(loadBackup(full!, place.uri)).rejects.toMatchObject({ code: "VALIDATION" });
  expect(await contentOf(place.uri)).toEqual(before);
  await expect(loadBackup(first!, place.fresh())).rejects.toMatchObject({ code: "VALIDATION" });
  await expect(applyDelta(place.uri, full!)).rejects.toMatchObject({ code: "VALIDATION" });
  await expect(applyDelta(place.fresh(), first!)).rejects.toMatchObject({ code: "VALIDATION" });
});

test("a delta that does not fit the database changes nothing", async () => {
  await using place = new Place();
  await using other = new Place();
  const [, first] = await chain(place);
  const db = await other.db();
  const table = await db.createTable("a", rowsOf([9]));
  await table.addColumns([{ name: "extra", valueSql: "id" }]);
  const before = await contentOf(other.uri);
  await expect(applyDelta(other.uri, first!)).rejects.toMatchObject({
    code: "VALIDATION",
    message: /other columns/,
  });
  await db.dropTable("a");
  await expect(applyDelta(other.uri, first!)).rejects.toMatchObject({
    code: "VALIDATION",
    message: /not in the database/,
  });
  expect(Object.keys(before)).toEqual(["a"]);
});

test("a pin that was lost makes the next backup a full, with a warning", async () => {
  await using place = new Place();
  await chain(place);
  rmSync(join(place.uri, ".lancedb-backup", "pins"), { recursive: true });
  const manager = place.manager({ incremental: true });
  expect(await manager.backupDelta()).toMatch(/lancedb_backup_/);
  expect(place.warnings).toHaveLength(1);
  expect(await manager.backupDelta()).toBeNull();
});

test("a pin that was damaged makes the next backup a full, with a warning", async () => {
  await using place = new Place();
  await chain(place);
  const pins = join(place.uri, ".lancedb-backup", "pins");
  const data = readdirSync(pins, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".lance"),
  );
  const file = data.filter((name) => name.includes("/data/"))[0]!;
  rmSync(join(pins, file));
  const table = await (await place.db()).openTable("a");
  await table.add(rowsOf([4]));
  expect(await place.manager({ incremental: true }).backupNow()).toMatch(/lancedb_backup_/);
  expect(place.warnings).toHaveLength(1);
});

test("pins outlive a cleanup of everything, and only the newest file's are kept", async () => {
  await using place = new Place();
  await chain(place);
  const table = await (await place.db()).openTable("a");
  await table.update({ where: "id = 1", values: { name: "x" } });
  await table.optimize({ cleanupOlderThan: new Date() });
  const manager = place.manager({ incremental: true });
  const file = (await manager.backupDelta()) as string;
  expect(JSON.parse(readFileSync(file, "utf8")).tables.a.upserts).toEqual([{ id: 1, name: "x" }]);
  const pins = join(place.uri, ".lancedb-backup", "pins");
  const [own] = readdirSync(pins);
  const kept = readdirSync(join(pins, own!)).map((name) => name.replace(/^(a\.lance-|lancedb_).*/, "$1"));
  expect(kept.sort()).toEqual([".lancedb-backup", "a.lance-", "identity", "lancedb_"]);
});

for (const [at, what] of [
  [0, "full"],
  [2, "delta in the middle"],
] as const) {
  for (const how of ["is gone", "is another file", "was cut short"] as const) {
    test(`no delta goes onto a chain whose ${what} ${how}: a full is taken, with a warning`, async () => {
      await using place = new Place();
      await using other = new Place();
      const files = await chain(place);
      const table = await (await place.db()).openTable("a");
      const running = place.manager({ incremental: true });
      expect(await running.backupDelta()).toBeNull();
      const lost = files[at]!;
      if (how === "is gone") rmSync(lost);
      else if (how === "is another file") copyFileSync((await chain(other))[at]!, lost);
      else writeFileSync(lost, readFileSync(lost).subarray(0, -5));
      await table.add(rowsOf([9]));
      expect(await running.backupDelta()).toMatch(/lancedb_backup_/);
      expect(place.warnings).toHaveLength(1);
      await table.add(rowsOf([10]));
      expect(await place.manager({ incremental: true }).backupNow()).toMatch(/lancedb_delta_/);
      const target = place.fresh();
      await restoreLatest(place.backupDir, target, { database: place.uri });
      expect(await contentOf(target)).toEqual(await contentOf(place.uri));
      expect(place.warnings).toHaveLength(1);
    });
  }
}

test("two databases with one backup directory: chains of their own, and keep removes nothing of the other", async () => {
  await using place = new Place();
  const uris = [place.uri, place.fresh()];
  const dbs = await Promise.all(uris.map((uri) => connect(uri)));
  const options = { incremental: true, keep: 1, maxDeltasBeforeFull: 2, backupDir: place.backupDir };
  const managers = uris.map((uri) => place.manager({ ...options, uri }));
  const tables = await Promise.all(dbs.map((db) => db.createTable("a", rowsOf([0]))));
  await managers[0]!.backupNow();
  const second = await managers[1]!.backupNow();
  place.warnings.length = 0;
  for (let id = 1; id <= 4; id++) {
    await tables[0]!.add(rowsOf([id]));
    await managers[0]!.backupNow();
    expect(await managers[1]!.backupNow()).toBe(second);
  }
  await tables[1]!.add(rowsOf([1]));
  expect(await managers[1]!.backupNow()).toMatch(/lancedb_delta_/);
  expect(place.warnings).toEqual([]);
  const heads = place.files().map((name) => JSON.parse(readFileSync(join(place.backupDir, name), "utf8")));
  const { database } = JSON.parse(readFileSync(second, "utf8"));
  const kinds = (isSecond: boolean) =>
    heads.filter((head) => (head.database === database) === isSecond).map((head) => head.type);
  expect(kinds(false)).toEqual(["full", "delta"]);
  expect(kinds(true)).toEqual(["full", "delta"]);
  for (const db of dbs) db.close();
});

test("of two databases with one backup directory the one that is named is restored, and none unless it is", async () => {
  await using place = new Place();
  const uris = [place.uri, place.fresh()];
  const identities: string[] = [];
  for (const [index, uri] of uris.entries()) {
    const db = await connect(uri);
    await db.createTable(`t${index}`, rowsOf([index]));
    db.close();
    const file = await place.manager({ uri }).backupNow();
    identities.push(JSON.parse(readFileSync(file, "utf8")).database);
    if (index > 0) continue;
    const summary = await restoreLatest(place.backupDir, place.fresh()); // as long as it is the only one
    expect(summary).toMatchObject({ database: identities[0], tables: { t0: 1 } });
  }
  const unnamed = restoreLatest(place.backupDir, place.fresh());
  await expect(unnamed).rejects.toMatchObject({ code: "VALIDATION" });
  for (const identity of identities) await expect(unnamed).rejects.toThrow(identity);
  await expect(restoreLatest(place.backupDir, place.fresh(), { database: "/nowhere" })).rejects.toMatchObject(
    { code: "VALIDATION", message: expect.stringContaining(identities[1]!) },
  );
  for (const database of [identities[0]!, place.uri]) {
    const summary = await restoreLatest(place.backupDir, place.fresh(), { database });
    expect(summary).toMatchObject({ database: identities[0], tables: { t0: 1 } });
  }
});

test("keep counts the fulls of managers without deltas, and of those after them", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([0]));
  for (let id = 1; id <= 3; id++) {
    await place.manager({ keep: 2 }).backupNow();
    await table.add(rowsOf([id]));
  }
  expect(place.files()).toHaveLength(2);
  await place.manager({ keep: 1, incremental: true }).backupNow();
  expect(place.files()).toHaveLength(1);
});

test("after another choice of tables comes a full", async () => {
  await using place = new Place();
  await chain(place);
  expect(await place.manager({ incremental: true, tables: ["a"] }).backupNow()).toMatch(/lancedb_backup_/);
});

test("deltas are refused where they are off", async () => {
  await using place = new Place();
  await chain(place);
  await expect(place.manager().backupDelta()).rejects.toMatchObject({
    code: "VALIDATION",
    message: /incremental/,
  });
});

test("keep leaves the newest fulls with their deltas, and nothing that they need is removed", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([0]));
  const manager = place.manager({ incremental: true, maxDeltasBeforeFull: 2, keep: 2 });
  for (let id = 1; id <= 8; id++) {
    await manager.backupNow();
    await table.add(rowsOf([id]));
  }
  expect(place.files().map((name) => name.split("_")[1])).toEqual([
    "backup",
    "delta",
    "delta",
    "backup",
    "delta",
  ]);
  const summary = await restoreLatest(place.backupDir, place.fresh());
  expect(summary.tables).toEqual({ a: 8 });
});

test("what a process that lives is writing stays, however old; what a dead one left goes at once", async () => {
  await using place = new Place();
  await chain(place);
  const { pid } = spawnSync("true");
  const { host, bootId, pidNamespace, startTime } = thisProcess;
  const [alive, dead] = [process.pid, pid].map((id) => {
    const token = JSON.stringify([host, bootId, pidNamespace, id, startTime]);
    return `.lancedb_delta_1_000000.json.${Buffer.from(token).toString("base64url")}.0b0f36a4.tmp`;
  }) as [string, string];
  for (const name of [alive, dead]) writeFileSync(join(place.backupDir, name), "half");
  utimesSync(join(place.backupDir, alive), 0, 0);
  await place.manager().backupNow();
  expect([alive, dead].map((name) => existsSync(join(place.backupDir, name)))).toEqual([true, false]);
});

test("a full goes round a damaged pin of a table that has not changed since", async () => {
  await using place = new Place();
  await chain(place);
  const db = await place.db();
  const other = await db.createTable("b", rowsOf([1]));
  const manager = place.manager({ incremental: true });
  await manager.backupDelta();
  const pins = join(place.uri, ".lancedb-backup", "pins");
  const manifests = readdirSync(pins, { recursive: true, encoding: "utf8" }).filter((name) =>
    /a\.lance-.*\.manifest$/.test(name),
  );
  expect(manifests).toHaveLength(1);
  truncateSync(join(pins, manifests[0]!), 0);
  await other.add(rowsOf([2]));
  expect(await manager.backupDelta()).toMatch(/lancedb_delta_/);
  expect(await manager.backupFull()).toMatch(/lancedb_backup_/);
  await (await db.openTable("a")).add(rowsOf([9]));
  expect(await manager.backupDelta()).toMatch(/lancedb_delta_/);
  const target = place.fresh();
  await restoreLatest(place.backupDir, target);
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
});

test("a copy of a database is another one: keep removes nothing of the original, whose chain goes on", async () => {
  await using place = new Place();
  const [full] = await chain(place);
  const copy = place.fresh();
  cpSync(place.uri, copy, { recursive: true });
  const options = { incremental: true, keep: 1 };
  const ofCopy = place.manager({ ...options, uri: copy });
  const table = await (await connect(copy)).openTable("a");
  const first = (await ofCopy.backupDelta()) as string;
  expect(first).toMatch(/lancedb_backup_/);
  expect(place.warnings).toHaveLength(1);
  for (const id of [20, 21]) {
    await table.add(rowsOf([id]));
    expect(await ofCopy.backupFull()).toMatch(/lancedb_backup_/);
  }
  expect([existsSync(full!), existsSync(first)]).toEqual([true, false]);
  await (await (await place.db()).openTable("a")).add(rowsOf([9]));
  const next = (await place.manager(options).backupDelta()) as string;
  expect(next).toMatch(/lancedb_delta_/);
  const databaseOf = (file: string) => JSON.parse(readFileSync(file, "utf8")).database;
  expect(databaseOf(next)).toBe(databaseOf(full!));
});

test("what a dead process left half written is swept when it is old", async () => {
  await using place = new Place();
  await chain(place);
  const id = "0b0f36a4-95d4-4f0d-8d4e-0a9fd6a1a111";
  const left = join(place.backupDir, `.lancedb_delta_1_000000.json.${id}.tmp`);
  writeFileSync(left, "half");
  utimesSync(left, 0, 0);
  await place.manager().backupNow();
  expect(existsSync(left)).toBe(false);
});
