import {
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BackupNotFoundError, ValidationError } from "../../src/errors.ts";
import { LanceCatalog } from "../../src/sources/lancedb/lance-catalog.ts";
import { newestReference } from "../../src/sources/lancedb/scrub/reference.ts";
import type { Damage } from "../../src/sources/lancedb/scrub/scrub-report.ts";
import { scrub } from "../../src/sources/lancedb/scrub/scrub-tables.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";
import { newestManifest } from "../support/files.ts";
import { sampleRows } from "../support/sample.ts";
import { flipBit } from "./broken.ts";
import { putSnapshot } from "./fixture.ts";
import { blobsOf } from "./lance-parts.ts";
import {
  livePath,
  livePaths,
  onlyDamage,
  openTable,
  rotBit,
  type ScrubPlace,
  scrubPlace,
} from "./scrub-fixture.ts";
import { silent, takeSnapshot } from "./sound.ts";

const flipMiddle = (file: string) => flipBit(file, statSync(file).size >> 1);

interface Kind {
  readonly name: string;
  readonly table: string;
  readonly pattern: RegExp;
  readonly told: Partial<Damage>;
}

const KINDS: readonly Kind[] = [
  { name: "a data file", table: "main", pattern: /^data\//, told: { kind: "data", version: 7 } },
  { name: "a deletion file", table: "main", pattern: /^_deletions\//, told: { kind: "deletions" } },
  {
    name: "an index's file",
    table: "main",
    pattern: /^_indices\/.*page_data/,
    told: { kind: "index", index: "id_idx", columns: ["id"] },
  },
  {
    name: "a large value's file",
    table: "media",
    pattern: /\.blob$/,
    told: { kind: "blobs", columns: ["body"], rows: [{ fragment: 0, first: 0, last: 1 }] },
  },
  {
    name: "the oldest manifest",
    table: "main",
    pattern: /18446744073709551614\.manifest$/,
    told: { kind: "manifest", version: 1 },
  },
  {
    name: "the newest manifest",
    table: "main",
    pattern: /18446744073709551608\.manifest$/,
    told: { kind: "manifest", version: 7 },
  },
  { name: "a tag", table: "main", pattern: /^_refs\/tags\//, told: { kind: "tag" } },
];

test("finds nothing in a sound database, and compares every file that the snapshot has", async () => {
  const { scrub, snapshot, look, shown } = await scrubPlace();
  const report = await scrub();
  expect(report).toEqual({
    snapshot: snapshot.snapshot.id,
    source: snapshot.snapshot.source,
    tables: ["main", "media"],
    missingTables: [],
    newTables: [],
    files: snapshot.snapshot.files,
    bytes: snapshot.snapshot.bytes,
    newFiles: 0,
    damage: [],
  });
  expect(await look()).toEqual(shown);
});

describe.each(KINDS)("a flipped bit in $name", ({ table, pattern, told }) => {
  test.each([
    ["by the disk", rotBit],
    ["by a program", flipBit],
  ])("is found and named, and mended (%s)", async (_how, flip) => {
    const { uri, scrub, look, shown } = await scrubPlace();
    const path = livePath(uri, table, pattern);
    const file = join(uri, `${table}.lance`, path);
    const at = statSync(file).size >> 1;
    const sound = readFileSync(file);
    flip(file, at);
    const damaged = readFileSync(file);
    const found = onlyDamage(await scrub());
    if (path.startsWith("_refs/tags/") && flip === flipBit)
      return expect(found.refused).toContain("written since");
    expect(found).toMatchObject({ table, path, file, problem: "content", mended: false, ...told });
    expect(found).toMatchObject({
      bytes: { first: at, last: at, count: 1 },
      refused: undefined,
      size: sound.length,
    });
    expect(found.details).toContain(`Table ${table}: ${path} has other bytes than in the snapshot`);
    expect(readFileSync(file)).toEqual(damaged); // without `heal` nothing is touched

    const { mode } = statSync(file);
    const mended = onlyDamage(await scrub({ heal: true }));
    expect(mended).toMatchObject({ path, mended: true });
    expect(readFileSync(file)).toEqual(sound);
    expect(statSync(file).mode).toBe(mode);
    expect(readFileSync(mended.aside ?? "")).toEqual(damaged);
    expect(mended.aside).toContain(join(uri, ".lancedb-backup", "aside", "scrub-"));
    expect((await scrub()).damage).toEqual([]);
    expect(await look()).toEqual(shown);
    const left = livePaths(uri, table).filter((one) => one.endsWith(".tmp"));
    expect(left).toEqual([]);
  });

  test.each([
    ["cut short", (file: string) => truncateSync(file, statSync(file).size - 7), "size"],
    ["empty", (file: string) => truncateSync(file, 0), "size"],
  ] as const)("so is the same file %s", async (_how, damage, problem) => {
    const { uri, scrub, look, shown } = await scrubPlace();
    const path = livePath(uri, table, pattern);
    const file = join(uri, `${table}.lance`, path);
    damage(file);
    const found = onlyDamage(await scrub({ heal: true }));
    if (path.startsWith("_refs/tags/")) {
      // Written since, so that it may have been moved meanwhile: what it said is not known.
      expect(found).toMatchObject({
        path,
        kind: "tag",
        mended: false,
        refused: expect.stringContaining("written since"),
      });
      return;
    }
    expect(found).toMatchObject({ table, path, problem, ...told, mended: true });
    expect((await scrub()).damage).toEqual([]);
    expect(await look()).toEqual(shown);
  });
});

test.each(KINDS.filter(({ told }) => !["manifest", "tag"].includes(told.kind ?? "")))(
  "$name that is missing is found and put back",
  async ({ table, pattern, told }) => {
    const { uri, scrub, look, shown } = await scrubPlace();
    const path = livePath(uri, table, pattern);
    rmSync(join(uri, `${table}.lance`, path));
    const found = onlyDamage(await scrub({ heal: true }));
    expect(found).toMatchObject({ table, path, problem: "missing", ...told, mended: true, aside: undefined });
    expect(await look()).toEqual(shown);
  },
);

test("of a data file the column and the rows are named whose values are wrong, and no other", async () => {
  const { uri, scrub } = await scrubPlace();
  // The file of one updated row holds its values in its metadata.
  const sizeOf = (path: string) => statSync(join(uri, "main.lance", path)).size;
  const paths = livePaths(uri, "main").filter((path) => path.startsWith("data/"));
  const path = paths.toSorted((a, b) => sizeOf(b) - sizeOf(a))[0] ?? "";
  const file = join(uri, "main.lance", path);
  const sound = readFileSync(file);
  const before = await allValues(uri);
  const hit = new Map<string, number>();
  for (let at = 0; at < sound.length; at += 61) {
    flipBit(file, at);
    const { columns = [], rows = [] } = (await scrub()).damage[0] ?? {};
    const after = await allValues(uri).catch(() => undefined); // some flips make a file that cannot be read
    for (const [column, values] of Object.entries(after ?? {})) {
      if (values === before[column]) continue;
      expect([at, columns]).toEqual([at, expect.arrayContaining([column])]);
      expect(rows).toHaveLength(1);
      if (columns.length === 1) hit.set(column, (hit.get(column) ?? 0) + 1);
    }
    writeFileSync(file, sound, { flag: "r+" });
  }
  // LanceDB read each of these as wrong values, in silence.
  expect([...hit.keys()].sort()).toEqual(expect.arrayContaining(["score", "text", "vector"]));
});

async function allValues(uri: string): Promise<Record<string, string>> {
  const table = await openTable(uri, "main");
  const rows = await table.query().toArray();
  const columns = ["id", "text", "group", "score", "vector"];
  return Object.fromEntries(columns.map((name) => [name, JSON.stringify(rows.map((row) => row[name]))]));
}

test("several damaged files in several tables are all mended, some of them in old versions only", async () => {
  const { uri, scrub, look, shown } = await scrubPlace();
  const files = ["main", "media"].flatMap((table) =>
    livePaths(uri, table)
      .filter((path) => !/_transactions|hint|_refs/.test(path))
      .map((path) => join(uri, `${table}.lance`, path)),
  );
  for (const file of files) if (statSync(file).size > 0) flipMiddle(file);
  const report = await scrub({ heal: true });
  const mended = report.damage.filter((one) => one.mended).map(({ file }) => file);
  expect(mended.sort()).toEqual(files.filter((file) => statSync(file).size > 0).sort());
  expect((await scrub()).damage).toEqual([]);
  expect(await look()).toEqual(shown);
});

test("a manifest that cannot be read, and whose files are missing, is mended in the same run, after these", async () => {
  const { uri, scrub, look, shown } = await scrubPlace();
  const root = join(uri, "main.lance");
  const newest = newestManifest(root);
  // Of the first version, which all others need too.
  const data = livePaths(uri, "main").filter((path) => path.startsWith("data/"));
  const first =
    data.toSorted((a, b) => statSync(join(root, a)).mtimeMs - statSync(join(root, b)).mtimeMs)[0] ?? "";
  rmSync(join(root, first));
  writeFileSync(newest, "no manifest");
  const found = await scrub();
  expect(found.damage.find(({ kind }) => kind === "manifest")?.refused).toContain("not all there");
  const { damage } = await scrub({ heal: true });
  expect(damage.map(({ path, mended }) => [path, mended])).toEqual([
    [first, true],
    [newest.slice(root.length + 1), true],
  ]);
  expect((await scrub()).damage).toEqual([]);
  expect(await look()).toEqual(shown);
});

test("a snapshot's own copy that is damaged is never used", async () => {
  const { uri, scrub, storage, snapshot } = await scrubPlace();
  const path = livePath(uri, "main", /^data\//);
  const file = join(uri, "main.lance", path);
  flipMiddle(file);
  const damaged = readFileSync(file);
  const sha256 = snapshot.files.get("main.lance")?.find((one) => one.path === path)?.sha256 ?? "";
  const blob = join(storage.directory, "blobs", sha256.slice(0, 2), sha256);
  const content = readFileSync(blob);
  rmSync(blob);
  content[7] = (content[7] ?? 0) ^ 1;
  writeFileSync(blob, content);
  const found = onlyDamage(await scrub({ heal: true }));
  expect(found).toMatchObject({ mended: false, refused: expect.stringContaining("own copy"), kind: "data" });
  expect(readFileSync(file)).toEqual(damaged);
  rmSync(blob);
  expect(onlyDamage(await scrub({ heal: true }))).toMatchObject({ mended: false });
  expect(readFileSync(file)).toEqual(damaged);
});

test("a flipped bit at any place of a manifest is found and mended", async () => {
  const { uri, scrub } = await scrubPlace();
  const file = newestManifest(join(uri, "main.lance"));
  const sound = readFileSync(file);
  const step = process.env["NIGHTLY"] === "1" ? 1 : 41;
  for (let at = 0; at < sound.length; at += step) {
    flipBit(file, at, 1 << (at % 8));
    expect([at, onlyDamage(await scrub({ heal: true })).mended]).toEqual([at, true]);
    expect(readFileSync(file)).toEqual(sound);
  }
});

describe("options", () => {
  const run = ({ storage }: ScrubPlace, uri: string, options = {}) =>
    scrub({ blobs: blobsOf(storage), catalog: new LanceCatalog({ storage, logger: silent }) }, uri, options);

  test("a database without a snapshot, or none at all, is refused", async () => {
    const place = await scrubPlace();
    await expect(run(place, `${place.uri}-other`)).rejects.toThrow(ValidationError);
    unlinkSync(join(place.storage.directory, "snapshots", `${place.snapshot.snapshot.id}.json`));
    await expect(run(place, place.uri)).rejects.toThrow(BackupNotFoundError);
    await expect(run(place, place.uri, { snapshot: "nothing" })).rejects.toThrow(BackupNotFoundError);
    await expect(run(place, place.uri, { heal: "yes" })).rejects.toThrow(TypeError);
  });

  test("an abort ends it with the signal's reason, and nothing is touched", async () => {
    const place = await scrubPlace();
    flipMiddle(newestManifest(join(place.uri, "main.lance")));
    const abort = new AbortController();
    const onProgress = () => abort.abort(new Error("enough"));
    const options = { heal: true, signal: abort.signal, onProgress };
    await expect(run(place, place.uri, options)).rejects.toThrow("enough");
    expect(readdirSync(place.uri)).not.toContain("aside");
    expect((await run(place, place.uri)).damage).toHaveLength(1);
  });

  test("a table that the newest snapshot does not have is compared with the newest that has it", async () => {
    const place = await scrubPlace();
    await place.db.createTable("young", sampleRows(0, 3));
    await takeSnapshot(place.storage, place.uri, { tables: ["young"] });
    flipMiddle(newestManifest(join(place.uri, "main.lance")));
    const report = await run(place, place.uri, { heal: true });
    expect(report).toMatchObject({ newTables: [], damage: [{ table: "main", mended: true }] });
  });

  test("tables that no snapshot has cost one look at each snapshot, however many they are", async () => {
    const storage = new LocalStorage(await newDirectory());
    for (let day = 1; day <= 9; day++) await putSnapshot(storage, { at: `2026-01-0${day}T10:00:00Z` });
    const faulty = new FaultyStorage(storage);
    const catalog = new LanceCatalog({ storage: faulty, logger: silent });
    const names = ["t", "young", "younger", "youngest"];
    const tables = names.map((id) => ({ id, directory: `${id}.lance` }));
    const found = await newestReference(catalog, { id: "here:/data/db" }, tables);
    expect(found?.snapshot.tables.map(({ id }) => id)).toEqual(["t"]);
    expect(faulty.calls.filter(({ method }) => method === "read").length).toBeLessThanOrEqual(9 + 2);
  });

  test("another snapshot can be named", async () => {
    const place = await scrubPlace();
    await (await place.db.openTable("main")).add(sampleRows(900, 3));
    expect(await run(place, place.uri, { snapshot: place.snapshot.snapshot.id })).toMatchObject({
      damage: [],
      newFiles: 2,
    });
  });
});
