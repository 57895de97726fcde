import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { afterAll, describe, expect, test } from "vitest";
import { LockedError, ValidationError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { silent } from "../../crash/silent.ts";
import { nightly } from "../../crash/workshop.ts";
import { remote } from "../../repository/verify-run.ts";
import { newDirectory } from "../../support/database.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { filesBelow } from "../../support/files.ts";
import { snapshotOf, type TableSnapshot } from "../../support/snapshot.ts";
import { key, newEncrypted } from "./encrypted-place.ts";
import { rotate } from "./rotate-through-storage.ts";

const epochsIn = (location: string, folder: "blobs" | "snapshots") =>
  filesBelow(join(location, folder))
    .map((name) => readFileSync(join(location, folder, name)).readUInt32LE(12))
    .sort();

const slotsIn = (location: string) =>
  readdirSync(join(location, "keys")).filter((name) => /^[0-9a-f]{16}\.json$/.test(name));

async function assertWhole(repository: Repository): Promise<void> {
  expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
}

test("what is written after a rotation is of the new epoch, and what was before is read and used again", async () => {
  const { uri, db, location, repository, open } = await newEncrypted();
  await repository.backup({ source: uri });
  const before = epochsIn(location, "blobs");
  expect(await repository.keys.rotate({ dryRun: true })).toMatchObject({ epoch: 2, dryRun: true });
  expect(await repository.keys.rotate()).toMatchObject({ epoch: 2, olderEpochs: [1], dryRun: false });
  await (await db.openTable("other")).delete("id = 1");
  db.close();
  const other = await open();
  const { newBytes, bytes } = await other.backup({ source: uri });
  expect(newBytes).toBeLessThan(bytes / 2);
  expect(epochsIn(location, "snapshots")).toEqual([1, 2]);
  expect(new Set(epochsIn(location, "blobs"))).toEqual(new Set([1, 2]));
  expect(epochsIn(location, "blobs").filter((epoch) => epoch === 1)).toEqual(before);
  await assertWhole(other);
  await assertWhole(repository);
  expect(slotsIn(location)).toHaveLength(1);
});

test("a repository that was open before somebody else rotated writes by the new epoch", async () => {
  const { uri, db, location, repository, open } = await newEncrypted();
  db.close();
  await (await open()).keys.rotate();
  await repository.backup({ source: uri });
  expect(new Set([...epochsIn(location, "snapshots"), ...epochsIn(location, "blobs")])).toEqual(new Set([2]));
});

test("rewriting encrypts all anew, drops the epoch before, and leaves the old blobs to a prune", async () => {
  const { uri, db, location, repository, open } = await newEncrypted();
  const first = await repository.backup({ source: uri });
  await (await db.openTable("other")).delete("id = 1");
  await repository.backup({ source: uri });
  db.close();
  const blobs = epochsIn(location, "blobs").length;
  const plan = await repository.keys.rotate({ rewrite: true, dryRun: true });
  expect(plan.rewritten).toMatchObject({ snapshots: 2, blobs });
  expect(epochsIn(location, "snapshots")).toEqual([1, 1]);
  const report = await repository.keys.rotate({ rewrite: true });
  expect(report).toMatchObject({ epoch: 2, olderEpochs: [], rewritten: plan.rewritten });
  expect(epochsIn(location, "snapshots")).toEqual([2, 2]);
  expect(epochsIn(location, "blobs")).toHaveLength(2 * blobs);
  const other = await open();
  expect((await other.get(first.id)).name).toBe(first.name);
  await assertWhole(other);
  await other.prune({ graceHours: 0 });
  expect(new Set(epochsIn(location, "blobs"))).toEqual(new Set([2]));
  await assertWhole(other);
  await assertWhole(repository);
  expect(readdirSync(join(location, "keys")).sort()).toEqual([...slotsIn(location), "epoch-2.json"].sort());
});

test("who has the key before alone reads nothing after a rewriting", async () => {
  const { uri, db, location, repository, directory } = await newEncrypted();
  await repository.backup({ source: uri });
  db.close();
  const old = join(directory, "old");
  cpSync(location, old, { recursive: true });
  await repository.keys.rotate({ rewrite: true });
  cpSync(join(location, "snapshots"), join(old, "snapshots"), { recursive: true });
  const thief = await Repository.open(old, { logger: silent, keys: [key()] }); // with keys/ as it was
  expect(await thief.list()).toEqual([]);
  expect((await thief.verify()).some(({ ok }) => !ok)).toBe(true);
});

test("a slot whose key is not at hand is told before anything is written", async () => {
  const { location, repository, open } = await newEncrypted();
  const { id } = await (await open()).keys.add(key(8)); // which `repository` has not seen
  const before = filesBelow(location);
  const error = await repository.keys.rotate().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ValidationError);
  expect(String(error)).toContain(id);
  expect(filesBelow(location)).toEqual(before);
  const both = await open([key(), key(8)]);
  await both.keys.rotate();
  for (const byte of [7, 8]) await expect(open([key(byte)])).resolves.toBeDefined();
});

test("of two that rotate at once each is told, and the repository is in one epoch", async () => {
  const { uri, db, location, repository, open } = await newEncrypted();
  await repository.backup({ source: uri });
  db.close();
  const both = [await open(), await open()];
  const ended = await Promise.allSettled(both.map((one) => one.keys.rotate()));
  for (const one of ended) if (one.status === "rejected") expect(one.reason).toBeInstanceOf(LockedError);
  const done = ended.filter(({ status }) => status === "fulfilled").length;
  expect(done).toBeGreaterThan(0);
  const [slot, ...others] = await (await open()).keys.list();
  expect(slot?.epoch).toBe(1 + done);
  expect(others).toEqual([]);
  for (const one of both) {
    await one.backup({ source: uri });
    await assertWhole(one);
  }
  expect(slotsIn(location)).toHaveLength(1);
});

test("backups beside a rewriting are whole, of the new epoch, and no old one is left", async () => {
  const { uri, db, location, repository, open } = await newEncrypted();
  await repository.backup({ source: uri });
  const writer = await open();
  const table = await db.openTable("other");
  let isDone = false;
  const backups = (async () => {
    while (!isDone) {
      await table.delete(`id = ${Math.floor(Math.random() * 3000)}`);
      await writer.backup({ source: uri });
    }
  })();
  await repository.keys.rotate({ rewrite: true });
  isDone = true;
  await backups;
  db.close();
  expect(new Set(epochsIn(location, "snapshots"))).toEqual(new Set([2]));
  await writer.prune({ graceHours: 0 });
  expect(new Set(epochsIn(location, "blobs"))).toEqual(new Set([2]));
  await assertWhole(await open());
});

describe("interrupted anywhere, a rewriting leaves everything readable, and the next one ends it", () => {
  let template = "";
  let held: Record<string, TableSnapshot> = {};
  let calls = 0;

  /** Once, inside of a test, since a test's directories go with it. */
  async function prepare(): Promise<void> {
    if (template !== "") return;
    const place = await newEncrypted();
    held = await snapshotOf(place.db);
    await place.repository.backup({ source: place.uri });
    await (await place.db.openTable("other")).delete("id < 100");
    place.db.close();
    await place.repository.backup({ source: place.uri });
    template = join(mkdtempSync(join(tmpdir(), "lancedb-backup-rotation-")), "template");
    cpSync(place.location, template, { recursive: true });
    const whole = new FaultyStorage(remote(new LocalStorage(await newCopy())));
    await rotate(whole);
    calls = whole.calls.length;
  }

  afterAll(() => {
    if (template !== "") rmSync(dirname(template), { recursive: true, force: true });
  });

  async function newCopy(): Promise<string> {
    const location = join(await newDirectory(), "repository");
    cpSync(template, location, { recursive: true });
    return location;
  }

  /** Every snapshot is read and restored, then rotated to the end. */
  async function assertReadable(location: string): Promise<void> {
    const open = () =>
      Repository.open(remote(new LocalStorage(location)), { logger: silent, keys: [key()], cache: false });
    const repository = await open();
    await assertWhole(repository);
    const [, first] = await repository.list();
    const target = join(await newDirectory(), "restored");
    await repository.restore(first?.id ?? "", { target });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(held);
    restored.close();
    for (const { name } of await repository.leases()) await repository.unlock({ name, force: true });
    await repository.keys.rotate({ rewrite: true });
    const again = await open();
    await again.prune({ graceHours: 0 });
    const newest = (await again.keys.list()).map(({ epoch }) => epoch);
    expect(new Set(epochsIn(location, "blobs"))).toEqual(new Set(newest));
    expect(new Set(epochsIn(location, "snapshots"))).toEqual(new Set(newest));
    await assertWhole(again);
  }

  const points = (count: number) =>
    nightly
      ? Array.from({ length: calls }, (_, index) => index + 1)
      : Array.from(
          { length: count },
          (_, index) => 1 + Math.floor(((index + Math.random()) * calls) / count),
        );

  /** In the first half of its calls, so that it cannot be at its end. */
  const isEarly = (at: number) => at <= Math.ceil(calls / 2);

  test("by a store that has gone", async () => {
    await prepare();
    let failed = 0;
    for (const at of [...points(5), calls]) {
      const location = await newCopy();
      const storage = new FaultyStorage(remote(new LocalStorage(location)), ({ number }) =>
        number >= at ? "fail" : undefined,
      );
      // What it reads when all is done, for the audit log, keeps it from nothing.
      const ended = await rotate(storage).then(
        () => true,
        () => false,
      );
      if (isEarly(at)) expect(ended, `call ${at}`).toBe(false);
      if (ended) expect(epochsIn(location, "snapshots"), `call ${at}`).not.toContain(1);
      else failed++;
      await assertReadable(location);
    }
    expect(failed).toBeGreaterThan(0);
  });

  test("by kill -9", async () => {
    await prepare();
    let killed = 0;
    for (const at of points(2)) {
      const location = await newCopy();
      const program = join(import.meta.dirname, "rotate-through-storage.ts");
      const { signal, status } = spawnSync(process.execPath, [program, location, `${at}`], {
        stdio: "inherit",
      });
      // One that a busy machine slows down asks once more for its lease: calls are never counted to the last.
      if (status !== 0 || isEarly(at)) expect(signal, `call ${at}`).toBe("SIGKILL");
      if (signal === "SIGKILL") killed++;
      await assertReadable(location);
    }
    expect(killed).toBeGreaterThan(0);
  });
});
