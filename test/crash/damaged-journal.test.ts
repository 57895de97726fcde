import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CorruptError } from "../../src/errors.ts";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { stampOf } from "../support/files.ts";
import { recordFigures } from "./figures.ts";
import { rows } from "./fixture.ts";
import { observe } from "./observe.ts";
import { silent } from "./silent.ts";
import { assertWhole, nightly, type Place, STRATEGIES, Workshop } from "./workshop.ts";

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

const managerOf = (place: Place) =>
  new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });

/** A database whose guarded work on tables a and b died; the paths of its entry's files. */
async function deadPlace(strategy: (typeof STRATEGIES)[number]) {
  const place = workshop.place();
  await workshop.die(place, "several tables", strategy);
  const journal = join(place.uri, ".lancedb-backup/journal");
  const [id = ""] = readdirSync(journal);
  const entry = join(journal, id);
  return { place, entry, armed: join(entry, "armed.json"), log: join(entry, "log") };
}

/** The tables themselves; our own directory holds locks that come and go. */
const tableStamps = (place: Place) =>
  ["a.lance", "b.lance", "c.lance"].flatMap((table) => stampOf(join(place.uri, table)));

/** Refused with the file's name, nothing touched, the other tables usable. */
async function assertRefused(place: Place, path: string): Promise<void> {
  const before = [tableStamps(place), stampOf(join(place.uri, ".lancedb-backup/journal"))];
  const { entries } = await managerOf(place).recover();
  expect(entries).toMatchObject([{ action: "damaged", tables: [], error: { code: "CORRUPT", path } }]);
  expect(entries[0]?.error?.message).toContain(path);
  const manager = managerOf(place);
  const write = manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("b")).add(rows(800, 1));
  });
  await expect(write).rejects.toThrow(CorruptError);
  await expect(write).rejects.toThrow(path);
  expect([tableStamps(place), stampOf(join(place.uri, ".lancedb-backup/journal"))]).toEqual(before);
}

async function assertOthersUsable(place: Place): Promise<void> {
  await managerOf(place).withBackup("directory-copy", async (db) => {
    await (await db.openTable("c")).add(rows(800, 1));
  });
}

describe.for(STRATEGIES)("an entry of the journal, %s", (strategy) => {
  test("cut short at any byte", async () => {
    const ends = await workshop.ends("several tables");
    const { place, armed } = await deadPlace(strategy);
    const whole = readFileSync(armed);
    // The last byte is a line end, which nothing rests on.
    let cuts = 0;
    for (let length = 0; length < whole.length - 1; length += nightly ? 1 : 97, cuts++) {
      writeFileSync(armed, whole.subarray(0, length));
      await assertRefused(place, armed);
    }
    await assertOthersUsable(place);
    recordFigures("A journal entry cut short", [{ strategy, cuts, refused: cuts, lost: 0 }], strategy);
    writeFileSync(armed, whole);
    const manager = managerOf(place);
    expect((await manager.recover()).entries).toMatchObject([{ action: "rolled-back" }]);
    expect(ends.before["a"]).toBeDefined();
  });

  const edits: [string, (text: string) => string][] = [
    ["of a format that is not known", (text) => text.replace('"format": 1', '"format": 99')],
    ["without a format", (text) => text.replace('"format": 1,', "")],
    ["with another version written in", (text) => text.replace(/"version": \d+/, '"version": 1')],
    [
      "that leads out of the database",
      (text) => sealed(text, (body) => (body.tables[0]!.directory = "../../etc")),
    ],
    ["whose table has no name", (text) => sealed(text, (body) => (body.tables[0]!.id = ""))],
    ["that is another document", () => "[]\n"],
    ["that is no JSON", () => "\u0000\u0000\u0000"],
  ];
  test.for(edits)("%s", async ([, edit]) => {
    const { place, armed } = await deadPlace(strategy);
    const whole = readFileSync(armed, "utf8");
    const edited = edit(whole);
    expect(edited).not.toBe(whole);
    writeFileSync(armed, edited);
    await assertRefused(place, armed);
    await assertOthersUsable(place);
  });

  test("whose log was changed in a line", async () => {
    const { place, log } = await deadPlace(strategy);
    writeFileSync(log, readFileSync(log, "utf8").replace('"above":', '"above":1'));
    await assertRefused(place, log);
    await assertOthersUsable(place);
  });

  test("whose log has lost a line in its middle", async () => {
    const { place, log } = await deadPlace(strategy);
    const lines = readFileSync(log, "utf8").split("\n");
    writeFileSync(log, [lines[0]?.slice(0, 30), ...lines.slice(1)].join("\n"));
    await assertRefused(place, log);
  });

  test("whose log ends in half a line is a step that never began, and goes back", async () => {
    const ends = await workshop.ends("several tables");
    const { place, log } = await deadPlace(strategy);
    truncateSync(log, readFileSync(log).length - 5);
    await assertWhole(place, ends, "before");
  });

  test("whose log is gone: it was there before the first step", async () => {
    const { place, log } = await deadPlace(strategy);
    rmSync(log);
    await assertRefused(place, log);
    await assertOthersUsable(place);
  });

  test("whose tables' file names are gone holds them back by its record", async () => {
    const { place, entry, armed } = await deadPlace(strategy);
    rmSync(join(entry, "tables"), { recursive: true });
    await assertRefused(place, armed);
    await assertOthersUsable(place);
  });

  test("whose owner cannot be read", async () => {
    const { place, entry } = await deadPlace(strategy);
    const owner = join(entry, "owner.json");
    writeFileSync(owner, "{");
    await assertRefused(place, owner);
    await assertOthersUsable(place);
  });

  test.for([
    ["empty", ""],
    ["zeros", "\0\0\0\0"],
  ])("whose owner a power cut has made %s: it is dead, and goes back", async ([, content]) => {
    const ends = await workshop.ends("several tables");
    const { place, entry } = await deadPlace(strategy);
    writeFileSync(join(entry, "owner.json"), content ?? "");
    await assertWhole(place, ends, "before");
  });

  test("whose kept files are gone: nothing is touched where the table can still go back, and it does", async () => {
    const ends = await workshop.ends("several tables");
    const { place, entry } = await deadPlace(strategy);
    rmSync(join(entry, "pins"), { recursive: true, force: true });
    removeCopies(place);
    await assertWhole(place, ends, "before");
  });

  test("whose table cannot go back any more: nothing is touched until it is given up", async () => {
    const { place, entry } = await deadPlace(strategy);
    rmSync(join(entry, "pins"), { recursive: true, force: true });
    removeCopies(place);
    const versions = join(place.uri, "b.lance/_versions");
    const manifests = readdirSync(versions).filter((name) => name.endsWith(".manifest"));
    for (const name of manifests.sort().slice(1)) rmSync(join(versions, name)); // as a cleanup inside of the work
    const { rows: left } = (await observe(place.uri))["b"] ?? {};
    const manager = managerOf(place);
    for (const onConflict of [undefined, "overwrite"] as const) {
      const { entries } = await manager.recover({ onConflict });
      expect(entries).toMatchObject([{ action: "damaged", error: { code: "CORRUPT" } }]);
      expect(entries[0]?.error?.message).toContain('recover({ onConflict: "keep" })');
    }
    const write = () =>
      manager.withBackup("lance-version", async (db) => {
        await (await db.openTable("b")).add(rows(800, 1));
      });
    await expect(write()).rejects.toThrow('recover({ onConflict: "keep" })');
    expect((await manager.recover({ onConflict: "keep" })).entries).toMatchObject([{ action: "kept" }]);
    expect((await observe(place.uri))["b"]?.rows).toEqual(left);
    await write();
    expect((await manager.recover()).entries).toEqual([]);
  });
});

/** The directory that they lie in stays: without it their disk may be away. */
function removeCopies({ backupDir }: Place): void {
  const names = existsSync(backupDir) ? readdirSync(backupDir) : [];
  for (const name of names) rmSync(join(backupDir, name), { recursive: true });
}

interface Body {
  tables: { id: string; directory: string }[];
}

/** Edited by somebody who knows how the checksum is made. */
function sealed(text: string, edit: (body: Body) => unknown): string {
  const document = JSON.parse(text) as { format: number; sha256: string; body: Body };
  edit(document.body);
  document.sha256 = createHash("sha256").update(JSON.stringify(document.body)).digest("hex");
  return `${JSON.stringify(document, null, 2)}\n`;
}
