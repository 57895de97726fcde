import { closeSync, openSync, readdirSync, readFileSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { newestManifest, stampOf } from "../support/files.ts";
import { recordFigures } from "./figures.ts";
import { rows } from "./fixture.ts";
import { observe, versionsOnDisk } from "./observe.ts";
import { silent } from "./silent.ts";
import { assertWhole, nightly, type Place, STRATEGIES, Workshop } from "./workshop.ts";

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

const managerOf = (place: Place) =>
  new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });

/** What a power cut leaves of a file that was never synced. */
function cut(path: string, length: number): Buffer {
  truncateSync(path, length);
  return readFileSync(path);
}

/** The other thing that it leaves: the length is right, the content is zeros. */
function zero(path: string): Buffer {
  const { size } = statSync(path);
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(size), 0, size, 0);
  closeSync(file);
  return readFileSync(path);
}

/** A version that another program has committed to table a, and that is then damaged. */
async function damagedPlace(damage: (path: string) => Buffer) {
  const place = workshop.place();
  const whole = await observe(place.uri);
  const db = await connect(place.uri);
  await (await db.openTable("a")).add(rows(500, 2));
  db.close();
  const path = newestManifest(join(place.uri, "a.lance"));
  const version = versionsOnDisk(place.uri).get("a.lance") ?? 0;
  const { size: length } = statSync(path);
  const bytes = damage(path);
  // This process has read a manifest of that length and keeps it in memory; another would fail on zeros too.
  if (bytes.length !== length) await expect(observe(place.uri)).rejects.toThrow();
  return { place, whole, version, bytes };
}

/** Moved aside, never deleted: the damaged bytes are still there. */
function keptManifests(place: Place): Buffer[] {
  const aside = join(place.uri, ".lancedb-backup/aside/manifests/a.lance");
  return readdirSync(aside).map((name) => readFileSync(join(aside, name)));
}

const ways: Record<string, (place: Place) => Promise<unknown>> = {
  "recover()": async (place) => {
    const { healed } = await managerOf(place).recover();
    const version = versionsOnDisk(place.uri).get("a.lance") ?? 0;
    expect(healed).toEqual([{ table: "a", damaged: [version - 1], openedAt: version - 2 }]);
  },
  "opening it through the guard": (place) =>
    managerOf(place).withBackup("lance-version", async (db) => {
      expect(await (await db.openTable("a")).countRows()).toBeGreaterThan(0);
    }),
  "capturing it": (place) =>
    managerOf(place).withBackup("directory-copy", async () => undefined, { tables: ["a"] }),
  createBackup: async (place) => {
    const manager = managerOf(place);
    await manager.cleanupBackup(await manager.createBackup("lance-version"));
  },
};

const LENGTHS = nightly ? [0, 1, 4, 15, 16, 19, 20, 64, 200, 400, -1, -4, -16, -20] : [0, 20, -1];

describe.for(Object.keys(ways))("a damaged newest manifest is found by %s", (name) => {
  const damages: [string, (path: string) => Buffer][] = [
    ...LENGTHS.map((length): [string, (path: string) => Buffer] => [
      length < 0 ? `cut by ${-length} bytes` : `cut to ${length} bytes`,
      (path) => cut(path, length < 0 ? statSync(path).size + length : length),
    ]),
    ["zeros", zero],
  ];
  let found = 0;
  afterAll(() => {
    const line = { "found by": name, damages: damages.length, "moved aside, and named": found };
    recordFigures("A damaged newest manifest", [line], name);
  });

  test.for(damages)("%s", async ([, damage]) => {
    const { place, whole, version, bytes } = await damagedPlace(damage);
    await ways[name]?.(place);
    expect(await observe(place.uri)).toEqual(whole);
    expect(versionsOnDisk(place.uri).get("a.lance")).toBeGreaterThan(version);
    expect(keptManifests(place)).toEqual([bytes]);
    found++;
  });
});

test("several damaged manifests in a row are all moved aside, and named", async () => {
  const place = workshop.place();
  const whole = await observe(place.uri);
  const db = await connect(place.uri);
  const table = await db.openTable("a");
  const damaged = [(await table.add(rows(500, 1))).version, (await table.add(rows(501, 1))).version];
  db.close();
  const versions = join(place.uri, "a.lance/_versions");
  const newest = readdirSync(versions)
    .filter((name) => /^\d+\.manifest$/.test(name))
    .sort();
  for (const name of newest.slice(0, 2)) cut(join(versions, name), 0);
  const { healed } = await managerOf(place).recover();
  expect(healed).toEqual([{ table: "a", damaged: damaged.toReversed(), openedAt: damaged[0]! - 1 }]);
  expect(await observe(place.uri)).toEqual(whole);
  expect(keptManifests(place)).toHaveLength(2);
});

test("where no version is whole nothing is touched, and the other tables are usable", async () => {
  const place = workshop.place();
  const versions = join(place.uri, "a.lance/_versions");
  for (const name of readdirSync(versions)) cut(join(versions, name), 0);
  const before = readdirSync(versions);
  const { healed } = await managerOf(place).recover();
  expect(healed).toEqual([]);
  expect(readdirSync(versions)).toEqual(before);
  await managerOf(place).withBackup("lance-version", async (db) => {
    await (await db.openTable("b")).add(rows(500, 1));
  });
});

describe.for(STRATEGIES)("a power cut in the middle of guarded work, %s", (strategy) => {
  test("with the newest commits cut short", async () => {
    const ends = await workshop.ends("several tables");
    const place = workshop.place();
    await workshop.die(place, "several tables", strategy);
    for (const table of ["a", "b"]) cut(newestManifest(join(place.uri, `${table}.lance`)), 0);
    const manager = managerOf(place);
    expect((await manager.recover()).entries).toMatchObject([{ action: "rolled-back" }]);
    expect(await observe(place.uri)).toEqual(ends.before);
    await assertWholeOf(place);
  });

  test("with the version that was captured damaged too: it comes back from the backup", async () => {
    const ends = await workshop.ends("several tables");
    const place = workshop.place();
    const captured = newestManifest(join(place.uri, "a.lance"));
    await workshop.die(place, "several tables", strategy);
    for (let path = newestManifest(join(place.uri, "a.lance")); ; path = next(path)) {
      cut(path, 0);
      if (path === captured) break;
    }
    expect((await managerOf(place).recover()).entries).toMatchObject([{ action: "rolled-back" }]);
    expect(await observe(place.uri)).toEqual(ends.before);
    await assertWholeOf(place);
  });

  async function assertWholeOf(place: Place): Promise<void> {
    await managerOf(place).withBackup(strategy, async (db) => {
      await (await db.openTable("a")).add(rows(9000, 1));
    });
    const { entries } = await managerOf(place).recover();
    expect(entries).toEqual([]);
  }
});

/** The manifest of the version before. */
function next(path: string): string {
  const name = path.split("/").at(-1) ?? "";
  const older = String(BigInt(name.slice(0, 20)) + 1n).padStart(20, "0");
  return path.replace(name, `${older}.manifest`);
}

test("a table without any whole version is told of, and left as it is", async () => {
  const place = workshop.place();
  const versions = join(place.uri, "a.lance", "_versions");
  for (const name of readdirSync(versions)) truncateSync(join(versions, name), 0);
  const before = stampOf(join(place.uri, "a.lance"));
  const { healed, unreadable } = await managerOf(place).recover();
  expect(healed).toEqual([]);
  expect(unreadable).toMatchObject([{ table: "a", error: { code: "CORRUPT" } }]);
  expect(stampOf(join(place.uri, "a.lance"))).toEqual(before);
});

test("an undamaged database is left as it is", async () => {
  const place = workshop.place();
  const ends = await workshop.ends("insert");
  expect(await assertWhole(place, ends, "before")).toBe("before");
});
