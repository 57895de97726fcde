import { cpSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, Index } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { newestManifest } from "../support/files.ts";
import { sampleRows } from "../support/sample.ts";
import { flipBit } from "./broken.ts";
import { livePath, onlyDamage, type ScrubPlace, scrubPlace } from "./scrub-fixture.ts";

type Work = (place: ScrubPlace) => Promise<unknown>;

const cleanup = { cleanupOlderThan: new Date(Date.now() + 3_600_000) };

/** Ordinary work since the snapshot. */
const WORK: Readonly<Record<string, Work>> = {
  "rows added, deleted and updated": async ({ db }) => {
    const table = await db.openTable("main");
    await table.add(sampleRows(500, 30));
    await table.delete("id % 2 = 0");
    await table.update({ where: "id = 7", values: { text: "other" } });
  },
  "a compaction with cleanup": async ({ db }) => {
    const table = await db.openTable("main");
    await (await table.tags()).delete("good");
    await table.add(sampleRows(500, 30));
    await table.optimize(cleanup);
  },
  "an index made again": async ({ db }) => {
    const table = await db.openTable("main");
    await table.createIndex("id", { config: Index.btree(), replace: true });
  },
  "a tag moved, another made": async ({ db }) => {
    const tags = await (await db.openTable("main")).tags();
    await tags.update("good", 5);
    await tags.create("new", 6);
  },
  "an older version restored": async ({ db }) => {
    const table = await db.openTable("main");
    await table.checkout(2);
    await table.restore();
  },
  "columns added and dropped": async ({ db }) => {
    const table = await db.openTable("main");
    await table.addColumns([{ name: "twice", valueSql: "score * 2" }]);
    await table.dropColumns(["group"]);
  },
  "a table dropped and made again": async ({ db }) => {
    await db.dropTable("main");
    const table = await db.createTable("main", sampleRows(0, 30));
    for (let n = 0; n < 9; n++) await table.add(sampleRows(100 + n, 1));
  },
  "a table dropped and made again with fewer versions": async ({ db }) => {
    await db.dropTable("main");
    await db.createTable("main", sampleRows(0, 30));
  },
  "everything copied away and back, so that every file is another": async ({ uri }) => {
    cpSync(uri, `${uri}-copy`, { recursive: true });
    rmSync(uri, { recursive: true });
    renameSync(`${uri}-copy`, uri);
  },
  "an older copy put back, and worked on": async ({ uri, db }) => {
    const table = join(uri, "main.lance");
    // As if the newest two versions had never been.
    for (const name of readdirSync(join(table, "_versions")).sort().slice(0, 2))
      rmSync(join(table, "_versions", name));
    rmSync(join(table, "_versions", "latest_version_hint.json"), { force: true });
    const fresh = await connect(uri);
    const main = await fresh.openTable("main");
    for (let n = 0; n < 3; n++) await main.add(sampleRows(200 + n, 1));
    fresh.close();
    await db.openTable("main");
  },
};

describe.each(Object.entries(WORK))("%s", (_name, work) => {
  test("is no damage, and heal touches nothing", async () => {
    const place = await scrubPlace();
    await work(place);
    const before = await place.look();
    // Named, since a database that was copied is another one, of which there is none.
    const report = await place.scrub({ heal: true, snapshot: place.snapshot.snapshot.id });
    expect(report.damage).toEqual([]);
    expect(await place.look()).toEqual(before);
    expect(
      readdirSync(join(place.uri, ".lancedb-backup"), { recursive: true }).filter((name) =>
        String(name).includes("scrub-"),
      ),
    ).toEqual([]);
  });
});

test("tables dropped and made since are told", async () => {
  const { db, scrub } = await scrubPlace();
  await db.dropTable("media");
  await db.createTable("fresh", sampleRows(0, 3));
  expect(await scrub()).toMatchObject({
    tables: ["main"],
    missingTables: ["media"],
    newTables: ["fresh"],
    damage: [],
  });
});

describe("what the snapshot does not have is told and never mended by another file", () => {
  test("a manifest of a table that was made again, under a number that the snapshot has", async () => {
    const { uri, db, scrub } = await scrubPlace();
    await db.dropTable("main");
    const table = await db.createTable("main", sampleRows(0, 30));
    await table.add(sampleRows(30, 1));
    const file = newestManifest(join(uri, "main.lance"));
    truncateSync(file, 50);
    const damaged = readFileSync(file);
    const found = onlyDamage(await scrub({ heal: true }));
    expect(found).toMatchObject({
      kind: "manifest",
      version: 2,
      mended: false,
      refused: expect.stringContaining("created again"),
    });
    expect(readFileSync(file)).toEqual(damaged);
  });

  test("the only manifest of such a table, empty", async () => {
    const { uri, db, scrub } = await scrubPlace();
    await db.dropTable("main");
    await db.createTable("main", sampleRows(0, 30));
    truncateSync(newestManifest(join(uri, "main.lance")), 0);
    const found = onlyDamage(await scrub({ heal: true }));
    expect(found).toMatchObject({ kind: "manifest", version: 1, mended: false });
  });

  test("a manifest of a table that went another way from a version that the snapshot has", async () => {
    const place = await scrubPlace();
    await WORK["an older copy put back, and worked on"]?.(place);
    truncateSync(newestManifest(join(place.uri, "main.lance")), 0);
    const versions = await place.scrub({ heal: true });
    expect(onlyDamage(versions)).toMatchObject({ kind: "manifest", version: 8, mended: false });
    const file = livePath(place.uri, "main", /18446744073709551608\.manifest$/);
    truncateSync(join(place.uri, "main.lance", file), 0);
    const { damage } = await place.scrub({ heal: true });
    expect(damage.map(({ version, mended }) => [version, mended]).sort()).toEqual([
      [7, false],
      [8, false],
    ]);
  });

  test("a version written since, its manifest damaged or its data missing", async () => {
    const { uri, db, scrub } = await scrubPlace();
    await (await db.openTable("media")).add([{ id: 9, body: Buffer.from("new") }]);
    const dataset = join(uri, "media.lance");
    const manifest = newestManifest(dataset);
    const sound = readFileSync(manifest);
    flipBit(manifest, sound.length - 2);
    expect(onlyDamage(await scrub({ heal: true }))).toMatchObject({
      kind: "manifest",
      version: 2,
      mended: false,
      refused: "the snapshot does not have this version",
    });
    writeFileSync(manifest, sound);
    const added = readdirSync(join(dataset, "data")).filter((name) => name.endsWith(".lance"));
    expect(added).toHaveLength(2);
    for (const name of added) rmSync(join(dataset, "data", name));
    const { damage } = await scrub({ heal: true });
    expect(damage.map(({ problem, mended }) => [problem, mended]).sort()).toEqual([
      ["missing", false],
      ["missing", true],
    ]);
    expect(damage.find(({ mended }) => !mended)?.refused).toBe("the snapshot does not have this file");
  });
});
