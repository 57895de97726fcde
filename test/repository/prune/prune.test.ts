import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { runLeaseKind, snapshotName } from "../../../src/engine/format/names.ts";
import { MARK_DOCUMENTS } from "../../../src/engine/prune/mark.ts";
import { CorruptError, LockedError, UnsupportedError, ValidationError } from "../../../src/errors.ts";
import { encodeRecord } from "../../../src/fs/record.ts";
import { thisProcess } from "../../../src/fs/this-process.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { stampOf } from "../../support/files.ts";
import { otherFileSystem } from "../../support/other-file-system.ts";
import { namesBelow, readAll, rejection } from "../../support/pieces.ts";
import { digestOf, putBlobs, putSnapshot } from "../fixture.ts";
import { acquireLease, leave, owners } from "../lease/leases.ts";
import { HOUR, newPlace, newQuickPlace, Place, tableOf } from "./place.ts";

let place: Place;
beforeEach(async () => {
  place = await newPlace();
});

const put = (at: string, ...contents: string[]) =>
  putSnapshot(place.storage, { at, tables: tableOf(...contents) });
const marks = () => namesBelow(place.storage, "marks/");
const none = { blobs: 0, bytes: 0 };

describe("two phases", () => {
  test("what no snapshot names is marked, stays for the grace period, and goes then", async () => {
    await put("2026-01-01T00:00:00Z", "kept");
    const [orphan] = await putBlobs(place.storage, "orphan");
    const until = new Date(place.clock.now() + 24 * HOUR);
    expect(await place.prune()).toMatchObject({
      dryRun: false,
      marked: { blobs: 1, bytes: 6 },
      freed: none,
      waiting: [{ blobs: 1, bytes: 6, until }],
    });
    place.clock.sleep(24 * HOUR - 1);
    expect(await place.prune()).toMatchObject({ marked: none, freed: none, waiting: [{ blobs: 1, until }] });
    expect(await place.blobs()).toContain(orphan);
    place.clock.sleep(1);
    expect(await place.prune()).toMatchObject({ marked: none, freed: { blobs: 1, bytes: 6 }, waiting: [] });
    expect(await place.blobs()).toEqual([digestOf("kept")]);
    expect(await marks()).toEqual([]);
    expect(await namesBelow(place.storage, "leases/")).toEqual([]);
  });

  test("of a repository that needs nothing, nothing is written", async () => {
    await put("2026-01-01T00:00:00Z", "kept");
    const before = stampOf(place.storage.directory);
    expect(await place.prune()).toMatchObject({ marked: none, freed: none, waiting: [], unfinished: 0 });
    expect(stampOf(place.storage.directory)).toEqual(before);
  });

  test("a policy removes documents at once, and their own blobs after the grace period", async () => {
    await put("2026-01-01T00:00:00Z", "shared", "old");
    const kept = await put("2026-01-02T00:00:00Z", "shared", "new");
    const report = await place.prune({ keepLast: 1 });
    expect(report.kept.map(({ snapshot }) => snapshot.id)).toEqual([kept.id]);
    expect(report.removed).toMatchObject([{ reason: "no rule keeps it" }]);
    expect(await place.catalog.ids()).toEqual([kept.id]);
    expect(await place.blobs()).toContain(digestOf("old"));
    place.clock.sleep(24 * HOUR);
    expect((await place.prune({ keepLast: 1 })).freed).toEqual({ blobs: 1, bytes: 3 });
    expect(await place.blobs()).toEqual(await place.assertWhole());
  });

  test("with no grace period it is done at once", async () => {
    await put("2026-01-01T00:00:00Z", "old");
    await put("2026-01-02T00:00:00Z", "new");
    expect(await place.prune({ keepLast: 1, graceHours: 0 })).toMatchObject({
      marked: { blobs: 1 },
      freed: { blobs: 1 },
      waiting: [],
    });
    expect(await place.blobs()).toEqual([digestOf("new")]);
    expect(await marks()).toEqual([]);
  });

  test("what a new snapshot names in between stays", async () => {
    await putBlobs(place.storage, "a", "b");
    await place.prune();
    await put("2026-01-01T00:00:00Z", "a");
    place.clock.sleep(25 * HOUR);
    expect((await place.prune()).freed).toEqual({ blobs: 1, bytes: 1 });
    expect(await place.blobs()).toEqual(await place.assertWhole());
  });

  test("blobs of more than one kind of name are counted; foreign files are left alone", async () => {
    const foreign = [
      "blobs/README.md",
      `blobs/00/${digestOf("x")}`,
      `blobs/${digestOf("x").slice(0, 2)}/${digestOf("x")}.part`,
      "other/thing",
    ];
    for (const name of foreign) await place.storage.write(name, Buffer.from("foreign"));
    await putBlobs(place.storage, "orphan");
    expect((await place.prune({ graceHours: 0 })).freed.blobs).toBe(1);
    expect(await namesBelow(place.storage)).toEqual(foreign.sort());
  });
});

describe("the grace period begins anew", () => {
  /** Blobs of an old mark that a snapshot came to name. */
  async function reused() {
    await putBlobs(place.storage, "a");
    await place.prune();
    const snapshot = await put("2026-01-01T00:00:00Z", "a", "b");
    place.clock.sleep(25 * HOUR);
    return snapshot;
  }

  test.each(["whole", "damaged"])("when the snapshot that named them, %s, is deleted", async (state) => {
    const { id } = await reused();
    if (state === "damaged") await place.storage.write(snapshotName(id), Buffer.from("{"));
    await place.catalog.delete(id);
    expect((await place.prune()).freed).toEqual(none);
    place.clock.sleep(24 * HOUR);
    expect((await place.prune()).freed.blobs).toBe(2);
    expect(await marks()).toEqual([]);
  });

  test("when a policy removes it", async () => {
    await reused();
    await put("2026-01-03T00:00:00Z", "c");
    expect(await place.prune({ keepLast: 1 })).toMatchObject({
      removed: [{}],
      freed: none,
      marked: { blobs: 2 },
      waiting: [{ blobs: 2, until: new Date(place.clock.now() + 24 * HOUR) }],
    });
    place.clock.sleep(24 * HOUR);
    expect((await place.prune()).freed.blobs).toBe(2);
  });
});

describe("nothing is removed where a snapshot cannot be read", () => {
  const cases: Record<string, (document: Buffer) => Buffer> = {
    "is cut short": (document) => document.subarray(0, document.length - 40),
    "has a flipped bit in its file list": (document) => {
      const copy = Buffer.from(document);
      copy[copy.length - 120]! ^= 1;
      return copy;
    },
    "is cut in its first line": (document) => document.subarray(0, 100),
    "is empty": () => Buffer.alloc(0),
    "is of a newer format": (document) =>
      Buffer.from(document.toString().replace('{"format":2', '{"format":3')),
  };

  test.each(Object.keys(cases).flatMap((what) => [true, false].map((kept) => [what, kept] as const)))(
    "since it %s (the policy would keep it: %s)",
    async (what, kept) => {
      const bad = await put(kept ? "2026-01-03T00:00:00Z" : "2026-01-01T00:00:00Z", "bad");
      await put("2026-01-02T00:00:00Z", "good");
      await put("2025-01-02T00:00:00Z", "older");
      await putBlobs(place.storage, "orphan");
      const document = await readAll(place.storage, snapshotName(bad.id));
      await place.storage.write(snapshotName(bad.id), cases[what]!(document));
      const before = stampOf(place.storage.directory);
      for (const dryRun of [true, false]) {
        const error = await rejection(place.prune({ keepLast: 1, graceHours: 0, dryRun }));
        expect(error).toBeInstanceOf(what.includes("newer") ? UnsupportedError : CorruptError);
        expect((error as Error).message).toContain(bad.id);
      }
      expect(stampOf(place.storage.directory)).toEqual(before);
      await place.catalog.delete(bad.id);
      expect((await place.prune({ graceHours: 0 })).freed.blobs).toBe(2);
      await place.assertWhole();
    },
  );

  test("since it has a name that is none", async () => {
    const { id } = await put("2026-01-01T00:00:00Z", "a");
    await place.storage.write("snapshots/copy.json", await readAll(place.storage, snapshotName(id)));
    const error = await rejection(place.prune({ graceHours: 0 }));
    expect(error).toBeInstanceOf(CorruptError);
    expect((error as Error).message).toContain("snapshots/copy.json");
  });

  test.each(["copy of ID.json", "ID.JSON", ".ID.json", "ID.json~", "Ä.json", "ID"])(
    "since it was renamed to %s",
    async (name) => {
      const { id } = await put("2026-01-01T00:00:00Z", "a");
      const folder = join(place.storage.directory, "snapshots");
      const renamed = join(folder, name.replace("ID", id));
      renameSync(join(folder, `${id}.json`), renamed);
      const error = await rejection(place.prune({ graceHours: 0 }));
      expect(error).toBeInstanceOf(CorruptError);
      expect((error as Error).message).toContain(name.replace("ID", id));
      renameSync(renamed, join(folder, `${id}.json`));
      await place.assertWhole();
    },
  );

  test("of what the copy of a document names, which is all that is left of its snapshot", async () => {
    const { id } = await put("2026-01-01T00:00:00Z", "a");
    await putBlobs(place.storage, "orphan");
    const folder = join(place.storage.directory, "snapshots");
    renameSync(join(folder, `${id}.json`), join(folder, `${id} (1).json`));
    expect((await place.prune({ graceHours: 0 })).freed.blobs).toBe(1);
    renameSync(join(folder, `${id} (1).json`), join(folder, `${id}.json`));
    await place.assertWhole();
  });

  test("since it is behind a link", async () => {
    const { id } = await put("2026-01-01T00:00:00Z", "a");
    const path = join(place.storage.directory, snapshotName(id));
    const elsewhere = join(await newDirectory(), "document");
    renameSync(path, elsewhere);
    symlinkSync(elsewhere, path);
    expect(await rejection(place.prune({ graceHours: 0 }))).toBeInstanceOf(CorruptError);
    rmSync(path);
    renameSync(elsewhere, path);
    await place.assertWhole();
  });

  test("but not for what is plainly none, or unfinished", async () => {
    const { id } = await put("2026-01-01T00:00:00Z", "a");
    const folder = join(place.storage.directory, "snapshots");
    writeFileSync(join(folder, "README.txt"), "hands off");
    writeFileSync(join(folder, `.${id}.json.1.claim`), "{}");
    await place.prune({ graceHours: 0 });
    await place.assertWhole();
  });

  test("since it was damaged between mark and sweep", async () => {
    await putBlobs(place.storage, "orphan");
    await place.prune();
    place.clock.sleep(25 * HOUR);
    const damaging = new FaultyStorage(place.storage, ({ method, name }) => {
      if (method === "writeNew" && name.startsWith("leases/exclusive"))
        writeFileSync(join(place.storage.directory, snapshotName("20260101T000000Z-00000000")), "{");
      return undefined;
    });
    mkdirSync(join(place.storage.directory, "snapshots"));
    expect(await rejection(place.prune({}, damaging))).toBeInstanceOf(CorruptError);
    expect(await place.blobs()).toEqual([digestOf("orphan")]);
    expect(await namesBelow(place.storage, "leases/")).toEqual([]);
  });
});

test("with other snapshots to go than were agreed to it is a dry run", async () => {
  for (const day of [1, 2, 3]) await put(`2026-01-0${day}T00:00:00Z`, `${day}`);
  const planned = await place.prune({ keepLast: 2, dryRun: true });
  const agreed = planned.removed.map(({ snapshot }) => snapshot.id);
  await put("2026-01-04T00:00:00Z", "4");
  expect(await place.prune({ keepLast: 2, agreed })).toMatchObject({ dryRun: true, removed: [{}, {}] });
  expect(await place.catalog.ids()).toHaveLength(4);
  expect(await place.prune({ keepLast: 3, agreed })).toMatchObject({ dryRun: false, removed: [{}] });
  expect(await place.catalog.ids()).toHaveLength(3);
});

test("on a full disk the snapshots that go make room for the marks", async () => {
  const mount = await otherFileSystem();
  if (!mount) return;
  const full = new Place(join(mount, "repository"));
  for (let day = 1; day <= 9; day++)
    await putSnapshot(full.storage, { at: `2026-01-0${day}T00:00:00Z`, tables: tableOf(`${day}`) });
  await full.prune(); // its directories are there
  try {
    for (let index = 0; ; index++) writeFileSync(join(mount, `filler-${index}`), Buffer.alloc(64 * 1024));
  } catch (error) {
    expect(error).toMatchObject({ code: "ENOSPC" });
  }
  expect(() => writeFileSync(join(mount, "more"), Buffer.alloc(8192))).toThrow("ENOSPC");
  const report = await full.prune({ keepLast: 1, graceHours: 0 });
  expect(report.freed.blobs).toBe(8);
  expect((await full.catalog.ids()).length).toBe(1);
  expect(await full.assertWhole()).toEqual(await full.blobs());
});

test("on a full disk what the dead left half-written makes room for the marks", async () => {
  const mount = await otherFileSystem();
  if (!mount) return;
  const full = new Place(join(mount, "repository"));
  await putSnapshot(full.storage, { at: "2026-01-01T00:00:00Z", tables: tableOf("1") });
  await full.prune(); // its directories are there
  await putBlobs(full.storage, "a", "b");
  const { host, bootId, pidNamespace, pid, startTime } = owners.dead;
  const token = Buffer.from(JSON.stringify([host, bootId, pidNamespace, pid, startTime])).toString(
    "base64url",
  );
  writeFileSync(join(full.storage.directory, "blobs", `.${token}.1.tmp`), Buffer.alloc(256 * 1024));
  try {
    for (let index = 0; ; index++) writeFileSync(join(mount, `filler-${index}`), Buffer.alloc(4096));
  } catch (error) {
    expect(error).toMatchObject({ code: "ENOSPC" });
  }
  expect(await full.prune()).toMatchObject({ marked: { blobs: 2 }, unfinished: 1 });
  expect(await namesBelow(full.storage, "marks/")).toHaveLength(1);
});

describe("marks", () => {
  const NAME = "marks/00000000-0000-4000-8000-000000000001.json";

  test("from the future are never due: their blobs are marked anew", async () => {
    const orphans = await putBlobs(place.storage, "a", "b");
    await place.storage.write(
      NAME,
      MARK_DOCUMENTS.encode({ createdAt: new Date(place.clock.now() + 1), blobs: orphans }, NAME),
    );
    expect(await place.prune()).toMatchObject({ marked: { blobs: 2 }, freed: none, waiting: [{ blobs: 2 }] });
    expect(await marks()).not.toContain(NAME);
    place.clock.sleep(24 * HOUR);
    expect((await place.prune()).freed.blobs).toBe(2);
  });

  test("made by a clock that was ahead, beside an old one: the blob waits", async () => {
    const orphans = await putBlobs(place.storage, "a");
    await place.prune();
    place.clock.sleep(24 * HOUR);
    await place.storage.write(
      NAME,
      MARK_DOCUMENTS.encode({ createdAt: new Date(place.clock.now() + HOUR), blobs: orphans }, NAME),
    );
    expect(await place.prune()).toMatchObject({ marked: { blobs: 1 }, freed: none });
  });

  test.each(["", "{}", '{"format":2,"sha256":"0","body":{}}'])(
    "that are damaged (%j) free nothing",
    async (text) => {
      await putBlobs(place.storage, "a", "b");
      await place.prune();
      place.clock.sleep(24 * HOUR);
      await place.storage.write(NAME, Buffer.from(text));
      expect(await place.prune()).toMatchObject({ marked: { blobs: 2 }, freed: none });
      expect(await marks()).not.toContain(NAME);
      place.clock.sleep(24 * HOUR);
      expect((await place.prune()).freed.blobs).toBe(2);
      expect(await marks()).toEqual([]);
    },
  );

  test("that name what is no digest are damaged", async () => {
    const body = { createdAt: "2020-01-01T00:00:00.000Z", blobs: ["../../etc/passwd"] };
    await place.storage.write(NAME, encodeRecord(body, 2));
    expect((await place.prune()).freed).toEqual(none);
    expect(await marks()).toEqual([]);
  });

  test("of a newer format are left alone", async () => {
    await place.storage.write(NAME, Buffer.from('{"format":3}'));
    await putBlobs(place.storage, "a");
    expect((await place.prune({ graceHours: 0 })).freed.blobs).toBe(1);
    expect(await marks()).toEqual([NAME]);
  });
});

describe("beside others", () => {
  async function due() {
    await put("2026-01-01T00:00:00Z", "kept");
    await putBlobs(place.storage, "orphan");
    await place.prune();
    place.clock.sleep(25 * HOUR);
  }

  test("while a backup is under way nothing is removed, and the report says why", async () => {
    await due();
    const backup = await acquireLease(place.storage, "shared", { logger: silent });
    const report = await place.prune();
    expect(report).toMatchObject({
      freed: none,
      waiting: [{ blobs: 1, until: new Date(place.clock.now() - HOUR) }],
    });
    expect(report.postponed).toContain(`process ${process.pid}`);
    await backup.release();
    expect((await place.prune()).freed.blobs).toBe(1);
  });

  test("it waits for a backup to end, and keeps what that came to name", async () => {
    await due();
    const backup = await acquireLease(place.storage, "shared", { logger: silent });
    const pruning = place.prune({ lockTimeoutMs: 20_000 });
    await sleep(200);
    await put("2026-01-02T00:00:00Z", "orphan");
    await backup.release();
    expect((await pruning).freed).toEqual(none);
    expect(await place.blobs()).toEqual(await place.assertWhole());
  });

  test("leases of the dead bar nothing, and are removed", async () => {
    await due();
    await leave(place.storage, "shared", "dead");
    await leave(place.storage, "exclusive", "of another boot");
    const alive = await leave(place.storage, "shared", "unknown", new Date(place.clock.now()));
    expect(await place.prune()).toMatchObject({ deadLeases: 2, postponed: expect.stringContaining(alive) });
    await place.storage.remove(alive);
    expect(await place.prune()).toMatchObject({ deadLeases: 0, freed: { blobs: 1 } });
  });

  test("while blobs are removed no backup begins; before and after it may", async () => {
    await due();
    const seen = new Map<string, boolean>();
    const watching = new FaultyStorage(place.storage);
    const remove = watching.remove.bind(watching);
    watching.remove = async (name) => {
      const held = (await namesBelow(place.storage, "leases/")).some((lease) => lease.includes("exclusive"));
      seen.set(name.split("/")[0] ?? "", held);
      if (name.startsWith("blobs/")) {
        const barred = acquireLease(place.storage, "shared", { logger: silent, timeoutMs: 0 });
        expect(await rejection(barred)).toBeInstanceOf(LockedError);
      }
      return remove(name);
    };
    await put("2025-01-01T00:00:00Z", "removed by the policy");
    await place.prune({ keepLast: 1, force: true }, watching);
    expect(Object.fromEntries(seen)).toEqual({ snapshots: false, blobs: true, marks: true, leases: true });
  });

  test("where the lease is lost it stops, and the next one goes on", async () => {
    await putBlobs(place.storage, ...Array.from({ length: 600 }, (_, index) => `orphan ${index}`));
    let removals = 0;
    const losing = new FaultyStorage(place.storage, ({ method, name }) => {
      if (method === "remove" && name.startsWith("blobs/") && ++removals === 300) place.clock.sleep(HOUR);
      return undefined;
    });
    expect(await rejection(place.prune({ graceHours: 0 }, losing))).toBeInstanceOf(LockedError);
    const left = (await place.blobs()).length;
    expect(left).toBeGreaterThan(200);
    expect(left).toBeLessThan(600);
    expect((await marks()).length).toBe(1);
    expect((await place.prune()).freed).toEqual(none);
    expect((await place.prune({ graceHours: 0 })).freed.blobs).toBe(left);
  });

  test("a snapshot that comes to name a blob and is deleted before the sweep restarts its grace period", async () => {
    await due();
    const beside = new FaultyStorage(place.storage);
    const writeNew = beside.writeNew.bind(beside);
    beside.writeNew = async (name, content, options) => {
      if (name.startsWith("leases/exclusive"))
        await place.catalog.delete((await put("2026-01-02T00:00:00Z", "orphan")).id);
      return writeNew(name, content, options);
    };
    expect((await place.prune({}, beside)).freed).toEqual(none);
    expect(await place.blobs()).toContain(digestOf("orphan"));
    place.clock.sleep(24 * HOUR);
    expect((await place.prune()).freed.blobs).toBe(1);
  });

  test("several at once do each other no harm", async () => {
    for (let index = 0; index < 12; index++)
      await put(`2026-01-${index + 10}T00:00:00Z`, "s", `own ${index}`);
    const reports = await Promise.all(
      Array.from({ length: 5 }, () => place.prune({ keepLast: 3, graceHours: 0, lockTimeoutMs: 30_000 })),
    );
    expect(Math.max(...reports.map(({ freed }) => freed.blobs))).toBeGreaterThan(0);
    expect(await place.blobs()).toEqual(await place.assertWhole());
    expect((await place.catalog.ids()).length).toBe(3);
  });
});

describe("what was left half-written", () => {
  const old = (path: string, hours: number) => {
    const at = new Date(place.clock.now() - hours * HOUR);
    utimesSync(join(place.storage.directory, path), at, at);
  };

  async function litter() {
    await put("2026-01-01T00:00:00Z", "kept");
    const root = place.storage.directory;
    const [folder = ""] = (await namesBelow(place.storage, "blobs/")).map((name) => name.slice(0, 8));
    for (const path of [".a.tmp", "snapshots/.b.tmp", `${folder}/.c.1.claim`, ".git", ".tmp"])
      writeFileSync(join(root, path), "x");
    mkdirSync(join(root, "blobs/.run.tmp"));
    writeFileSync(join(root, "blobs/.run.tmp/0"), "x");
    return { folder, there: (path: string) => existsSync(join(root, path)) };
  }

  test("goes when nothing has changed in it for the grace period", async () => {
    const { folder, there } = await litter();
    const paths = [
      ".a.tmp",
      "snapshots/.b.tmp",
      `${folder}/.c.1.claim`,
      "blobs/.run.tmp/0",
      "blobs/.run.tmp",
    ];
    expect((await place.prune()).unfinished).toBe(0);
    for (const path of [...paths, ".git", ".tmp"]) old(path, 23);
    expect((await place.prune()).unfinished).toBe(0);
    for (const path of paths) old(path, 25);
    old("blobs/.run.tmp/0", 23);
    expect(await place.prune({ dryRun: true })).toMatchObject({ unfinished: 3 });
    expect(await place.prune()).toMatchObject({ unfinished: 3 });
    expect(paths.map(there)).toEqual([false, false, false, true, true]);
    old("blobs/.run.tmp/0", 25);
    old("blobs/.run.tmp", 25);
    expect(await place.prune()).toMatchObject({ unfinished: 1 });
    expect([".git", ".tmp"].map(there)).toEqual([true, true]);
    await place.assertWhole();
  });

  test("a snapshot that a dead process had open goes, and one that is open stays", async () => {
    const opened = [owners.dead, thisProcess].map(
      ({ host, bootId, pidNamespace, pid, startTime }) =>
        `.open-${Buffer.from(JSON.stringify([host, bootId, pidNamespace, pid, startTime])).toString("base64url")}.x`,
    );
    for (const name of opened)
      mkdirSync(join(place.storage.directory, name, "database"), { recursive: true });
    expect((await place.prune()).unfinished).toBe(1);
    expect(opened.map((name) => existsSync(join(place.storage.directory, name)))).toEqual([false, true]);
  });

  test("goes at once where its name says that its maker is dead, and stays where it lives", async () => {
    const { there } = await litter();
    const [dead, alive] = [owners.dead, thisProcess].map(
      ({ host, bootId, pidNamespace, pid, startTime }) =>
        `.${Buffer.from(JSON.stringify([host, bootId, pidNamespace, pid, startTime])).toString("base64url")}.1.tmp`,
    ) as [string, string];
    for (const name of [dead, alive]) {
      mkdirSync(join(place.storage.directory, "blobs", name));
      old(join("blobs", name), 100);
    }
    const backup = await acquireLease(place.storage, "shared", { logger: silent });
    expect(await place.prune()).toMatchObject({ unfinished: 1 });
    await backup.release();
    expect(await place.prune()).toMatchObject({ unfinished: 0 });
    expect([dead, alive].map((name) => there(`blobs/${name}`))).toEqual([false, true]);
  });

  test("stays for an hour at least, and while a backup is under way", async () => {
    const { there } = await litter();
    old(".a.tmp", 0.9);
    expect(await place.prune({ graceHours: 0 })).toMatchObject({ unfinished: 0 });
    old(".a.tmp", 1.1);
    const backup = await acquireLease(place.storage, "shared", { logger: silent });
    expect(await place.prune({ graceHours: 0 })).toMatchObject({ unfinished: 0 });
    await backup.release();
    // A policy that prunes does so in its own run, which makes nothing.
    await using _run = await acquireLease(place.storage, runLeaseKind({ policy: "one", sources: [] }), {
      logger: silent,
    });
    expect(await place.prune({ graceHours: 0 })).toMatchObject({ unfinished: 1 });
    expect(there(".a.tmp")).toBe(false);
  });
});

describe("a dry run", () => {
  test("changes nothing, and says what the real one then does", async () => {
    await put("2026-01-01T00:00:00Z", "old", "shared");
    await put("2026-01-02T00:00:00Z", "new", "shared");
    await putBlobs(place.storage, "orphan", "other");
    await place.prune();
    place.clock.sleep(25 * HOUR);
    await putBlobs(place.storage, "late");
    await leave(place.storage, "shared", "dead");
    for (const options of [{ keepLast: 1 }, { keepLast: 1, graceHours: 0 }, { graceHours: 30 }]) {
      const before = stampOf(place.storage.directory);
      const foretold = await place.prune({ ...options, dryRun: true });
      expect(stampOf(place.storage.directory)).toEqual(before);
      const { dryRun, ...report } = await place.prune(options);
      expect(dryRun).toBe(false);
      expect({ ...report, dryRun: true }).toEqual(foretold);
    }
  });
});

describe("interrupted at any step, it leaves every snapshot whole, and the next one ends it", () => {
  const faults = ["fail", "lose", "abort"] as const;

  test.each(faults)("%s", async (fault) => {
    let steps = Number.POSITIVE_INFINITY;
    for (let at = 1; at <= steps; at++) {
      place = await newQuickPlace();
      await put("2026-01-01T00:00:00Z", "old", "shared", "reused");
      await putBlobs(place.storage, "orphan", "reused");
      await place.prune();
      place.clock.sleep(25 * HOUR);
      await put("2026-01-02T00:00:00Z", "new", "shared", "reused");
      const controller = new AbortController();
      const reason = new Error("enough");
      const faulty = new FaultyStorage(place.storage, ({ number }) => {
        if (number === at && fault === "abort") controller.abort(reason);
        return number === at && fault !== "abort" ? fault : undefined;
      });
      const outcome = await place
        .prune({ keepLast: 1, signal: controller.signal }, faulty)
        .catch((error: unknown) => error);
      if (faulty.calls.length < at) steps = at;
      if (fault === "abort" && outcome instanceof Error) expect(outcome).toBe(reason);
      await place.assertWhole();
      await place.prune({ keepLast: 1 });
      place.clock.sleep(25 * HOUR);
      await place.prune({ keepLast: 1 });
      expect(await place.blobs()).toEqual(await place.assertWhole());
      expect((await place.catalog.ids()).length).toBe(1);
      expect(await marks()).toEqual([]);
      expect(await namesBelow(place.storage, "leases/")).toEqual([]);
    }
    expect(steps).toBeGreaterThan(20);
  });
});

test.each([
  [{ keepDaly: 3 }, ValidationError],
  [{ graceHours: -1 }, ValidationError],
  [{ graceHours: Number.NaN }, ValidationError],
  [{ graceHours: Number.POSITIVE_INFINITY }, ValidationError],
  [{ graceHours: "1" }, TypeError],
  [{ dryRun: 1 }, TypeError],
  [{ lockTimeoutMs: -1 }, ValidationError],
  [null, TypeError],
])("the options %j are refused, and nothing is touched", async (options, wanted) => {
  await putBlobs(place.storage, "orphan");
  const before = stampOf(place.storage.directory);
  const { prune } = await import("../../../src/engine/prune/prune-snapshots.ts");
  const error = await rejection(prune({ storage: place.storage, logger: silent }, options as never));
  expect(error).toBeInstanceOf(wanted);
  expect(stampOf(place.storage.directory)).toEqual(before);
});

test("a repository of many blobs is marked and swept", async () => {
  place = await newQuickPlace();
  await putBlobs(place.storage, ...Array.from({ length: 1500 }, (_, index) => `blob ${index}`));
  await put("2026-01-01T00:00:00Z", ...Array.from({ length: 700 }, (_, index) => `blob ${index}`));
  expect((await place.prune({ graceHours: 0 })).freed.blobs).toBe(800);
  expect(await place.blobs()).toEqual(await place.assertWhole());
});
