import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CorruptError, UnsupportedError } from "../../src/index.ts";
import { commitKindOf } from "../../src/lance/commit-kind.ts";
import { assertCapturable } from "../../src/lance/fragment-files.ts";
import { ImageReader } from "../../src/lance/image.ts";
import {
  digestOf,
  listManifests,
  manifestName,
  parseManifest,
  parseManifestName,
  readManifest,
  renumberManifest,
} from "../../src/lance/manifest.ts";
import { sameContent } from "../../src/lance/same-content.ts";
import { newDatabase, newDirectory } from "../support/database.ts";
import { filesBelow, newestManifest } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { rowsOf, snapshotOf } from "../support/snapshot.ts";

async function sample(): Promise<{ db: Connection; dataset: string; bytes: Buffer; version: number }> {
  const { db, uri } = await newDatabase();
  const table = await makeSampleTable(db, "main", { indices: true });
  const dataset = join(uri, "main.lance");
  return { db, dataset, bytes: readFileSync(newestManifest(dataset)), version: await table.version() };
}

describe("names of manifests", () => {
  test("are read as LanceDB writes them, and written as they are read", () => {
    expect(parseManifestName("18446744073709551614.manifest")).toMatchObject({ version: 1, scheme: "v2" });
    expect(parseManifestName("7.manifest")).toMatchObject({ version: 7, scheme: "v1" });
    fc.assert(
      fc.property(
        fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        fc.constantFrom("v1" as const, "v2" as const),
        (version, scheme) => {
          const name = manifestName(version, scheme);
          expect(parseManifestName(name)).toEqual({ name, version, scheme });
        },
      ),
    );
  });

  test.each([
    "latest_version_hint.json",
    "1.manifest#1",
    ".x.tmp",
    "d18446744073709551614.manifest",
    "-1.manifest",
    "1.manifest.tmp",
  ])("%s is none", (name) => expect(parseManifestName(name)).toBeUndefined());

  test("newest first, whatever the scheme; other files and a missing directory are nothing", async () => {
    const directory = await newDirectory();
    mkdirSync(join(directory, "_versions"));
    for (const version of [1, 9, 10])
      writeFileSync(join(directory, "_versions", manifestName(version, "v2")), "");
    for (const version of [11, 2])
      writeFileSync(join(directory, "_versions", manifestName(version, "v1")), "");
    writeFileSync(join(directory, "_versions", "hint.json"), "");
    expect((await listManifests(directory)).map(({ version }) => version)).toEqual([11, 10, 9, 2, 1]);
    expect(await listManifests(join(directory, "nope"))).toEqual([]);
  });
});

describe("a manifest", () => {
  test("says what LanceDB says of the version", async () => {
    const { db, bytes, version } = await sample();
    const manifest = parseManifest(bytes, version, "m");
    const table = await db.openTable("main");
    const versions = await table.listVersions();
    expect(manifest.version).toBe(version);
    expect(Math.floor(manifest.timestamp)).toBe(versions.at(-1)?.timestamp.getTime());
    expect(manifest.indices.map(({ name }) => name).sort()).toEqual(
      (await table.listIndices()).map(({ name }) => name).sort(),
    );
    expect(manifest.transaction?.operation.case).toBe("createIndex");
  });

  test("that is cut short, anywhere, is damaged, and so is one of another version", async () => {
    const { bytes, version } = await sample();
    for (let length = 0; length < bytes.length; length++) {
      expect(() => parseManifest(bytes.subarray(0, length), version, "m"), String(length)).toThrow(
        CorruptError,
      );
    }
    expect(() => parseManifest(bytes, version + 1, "m")).toThrow(/version/);
    expect(() => parseManifest(Buffer.concat([bytes, Buffer.from("x")]), version, "m")).toThrow(CorruptError);
  });

  test("that was changed, anywhere, is read or damaged, and nothing else", async () => {
    const { bytes, version } = await sample();
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.nat({ max: bytes.length - 1 }), to: fc.nat({ max: 255 }) }), {
          minLength: 1,
          maxLength: 5,
        }),
        (changes) => {
          const changed = Buffer.from(bytes);
          for (const { at, to } of changes) changed[at] = to;
          try {
            parseManifest(changed, version, "m");
          } catch (error) {
            expect(error).toBeInstanceOf(CorruptError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("of rubbish is damaged", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, footer) => {
        const file = footer
          ? Buffer.concat([bytes, Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Buffer.from("LANC")])
          : bytes;
        expect(() => parseManifest(file, 1, "the path")).toThrow(/the path/);
      }),
    );
  });

  test("under another number is the same version to LanceDB", async () => {
    const { db, dataset, bytes, version } = await sample();
    const before = await snapshotOf(db);
    const renumbered = renumberManifest(bytes, parseManifest(bytes, version, "m"), 5_000_000_000);
    expect(
      sameContent(parseManifest(renumbered, 5_000_000_000, "m"), parseManifest(bytes, version, "m")),
    ).toBe(true);
    writeFileSync(join(dataset, "_versions", manifestName(5_000_000_000, "v2")), renumbered);
    const table = await db.openTable("main");
    expect(await table.version()).toBe(5_000_000_000);
    expect(await snapshotOf(db)).toEqual(before);
    await table.add(sampleRows(100, 1));
    expect(await table.version()).toBe(5_000_000_001);
  });

  test("has the same content as another where nothing but time and number differ", async () => {
    const { db, dataset, version } = await sample();
    const table = await db.openTable("main");
    await table.add(sampleRows(100, 1));
    await table.checkout(version);
    await table.restore();
    const [restored, added, old] = await listManifests(dataset);
    const read = (name: typeof old) =>
      readManifest(dataset, name ?? { name: "", version: 0, scheme: "v2" })?.manifest;
    const [a, b, c] = [read(restored), read(added), read(old)];
    if (!a || !b || !c) throw new Error("a manifest is missing");
    expect(sameContent(a, c)).toBe(true);
    expect(sameContent(a, b)).toBe(false);
  });
});

test("the kind of a commit is told from disk", async () => {
  const { db, uri } = await newDatabase();
  const table = await db.createTable("main", sampleRows(0, 20));
  await table.add(sampleRows(20, 5));
  await table.delete("id = 1");
  await table.update({ where: "id = 2", values: { text: "x" } });
  await table.mergeInsert("id").whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(sampleRows(22, 5));
  await table.createIndex("id");
  await table.addColumns([{ name: "x", valueSql: "1" }]);
  await table.dropColumns(["x"]);
  await table.add(sampleRows(0, 3), { mode: "overwrite" });
  await table.checkout(3);
  await table.restore();
  await table.optimize();
  const dataset = join(uri, "main.lance");
  const kinds = (await listManifests(dataset)).reverse().map((name) => commitKindOf(dataset, name));
  expect(kinds.slice(0, 10)).toEqual([
    "overwrite",
    "append",
    "delete",
    "update",
    "update",
    "createIndex",
    "merge",
    "project",
    "overwrite",
    "restore",
  ]);
  expect(new Set(kinds.slice(10))).toEqual(new Set(["reserveFragments", "rewrite"]));
});

describe("the list of a version's files", () => {
  test("is enough to open and read it elsewhere, and names nothing that is not needed", async () => {
    const { db, dataset } = await sample();
    const table = await db.openTable("main");
    const reader = new ImageReader(dataset);
    for (const manifest of await listManifests(dataset)) {
      const image = await reader.read(manifest);
      const directory = await newDirectory();
      const paths = [...image.files.map(({ path }) => path), `_versions/${manifest.name}`];
      expect(new Set(paths).size).toBe(paths.length);
      for (const path of paths) {
        mkdirSync(join(directory, "main.lance", path, ".."), { recursive: true });
        writeFileSync(join(directory, "main.lance", path), readFileSync(join(dataset, path)));
      }
      for (const { path, size } of image.files) {
        if (size !== undefined) expect(readFileSync(join(dataset, path)).length).toBe(size);
      }
      const copy = await (await connect(directory)).openTable("main");
      await table.checkout(image.version);
      expect(await rowsOf(copy)).toEqual(await rowsOf(table));
      expect(await copy.listIndices()).toEqual(await table.listIndices());
      expect(image.digest).toBe(digestOf(readFileSync(join(dataset, "_versions", manifest.name))));
    }
  });

  test("of the newest version is all that is left after a cleanup", async () => {
    const { db, dataset } = await sample();
    const table = await db.openTable("main");
    await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
    const [newest] = await listManifests(dataset);
    if (!newest) throw new Error("no manifest");
    const { files } = await new ImageReader(dataset).read(newest);
    const expected = new Set([...files.map(({ path }) => path), `_versions/${newest.name}`]);
    const left = filesBelow(dataset).filter((path) => !/^_transactions\/|hint\.json$/.test(path));
    for (const path of expected) expect(left).toContain(path);
    const unnamed = left.filter((path) => !expected.has(path));
    expect(unnamed.filter((path) => path.startsWith("data/") || path.startsWith("_deletions/"))).toEqual([]);
  });

  test("whose manifest is gone is a missing file, as the system says it", async () => {
    const { dataset } = await sample();
    const [newest] = await listManifests(dataset);
    if (!newest) throw new Error("no manifest");
    rmSync(join(dataset, "_versions", newest.name));
    await expect(new ImageReader(dataset).read(newest)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

test("features that a file list does not describe are refused by table and name", async () => {
  const { bytes, version } = await sample();
  const manifest = parseManifest(bytes, version, "m");
  expect(() => assertCapturable("/x/main.lance", manifest)).not.toThrow();
  for (const [flag, words] of [
    [16n, /base paths/],
    [64n, /overlays/],
    [512n, /fragment tree/],
    [1n << 40n, /does not know/],
  ] as const) {
    for (const side of ["readerFeatureFlags", "writerFeatureFlags"] as const) {
      const message = { ...manifest.message, [side]: manifest.message[side] | flag };
      const check = () => assertCapturable("/x/main.lance", { ...manifest, message });
      expect(check).toThrow(UnsupportedError);
      expect(check).toThrow(words);
      expect(check).toThrow(/main\.lance/);
    }
  }
});

test("a manifest that names a file outside of its table is damaged, and nothing is read from there", async () => {
  const { dataset, bytes } = await sample();
  const [file = ""] = readdirSync(join(dataset, "data"));
  const evil = Buffer.from(bytes);
  const at = evil.indexOf(file);
  evil.write(`../../../../etc/${"x".repeat(file.length)}`.slice(0, file.length), at, "latin1");
  writeFileSync(newestManifest(dataset), evil);
  const [newest] = await listManifests(dataset);
  if (!newest) throw new Error("no manifest");
  await expect(new ImageReader(dataset).read(newest)).rejects.toMatchObject({
    code: "CORRUPT",
    message: expect.stringMatching(/leaves its directory/),
  });
});
