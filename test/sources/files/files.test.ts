import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import type { Source } from "../../../src/engine/source-contract.ts";
import { ValidationError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { sourceFromUrl } from "../../../src/sources/source-from-url.ts";
import { run, runJson } from "../../cli/cli.ts";
import { newDirectory, recordingLogger } from "../../support/database.ts";
import { readerOfTheDocs } from "../../support/documented-reader.ts";
import { otherFileSystem } from "../../support/other-file-system.ts";
import { makeSampleTable } from "../../support/sample.ts";
import { treeAt } from "../../support/trees.ts";

const MEGABYTE = 1 << 20;

async function newPlace() {
  const directory = await newDirectory();
  const place = (name: string) => join(directory, name);
  mkdirSync(place("tree"));
  const { logger, logged } = recordingLogger();
  const repository = await Repository.init(place("vault"), { logger });
  return { place, tree: place("tree"), repository, logged };
}

function write(path: string, content: string | Buffer): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
}

/** Something of everything. */
function fill(tree: string): void {
  write(join(tree, "docs/a.txt"), "a");
  write(join(tree, "docs/copy of a.txt"), "a");
  write(join(tree, "empty.txt"), "");
  write(join(tree, "large.bin"), Buffer.alloc(5 * MEGABYTE, "abcdefg"));
  write(join(tree, "readonly/secret"), "s");
  mkdirSync(join(tree, "empty/inner"), { recursive: true });
  chmodSync(join(tree, "readonly/secret"), 0o400);
  linkSync(join(tree, "docs/a.txt"), join(tree, "docs/z-link"));
  symlinkSync("docs/a.txt", join(tree, "to-a"));
  symlinkSync("/nowhere/%41", join(tree, "to-nothing"));
  symlinkSync("docs", join(tree, "to-docs"));
  const sparse = openSync(join(tree, "sparse.img"), "w");
  writeSync(sparse, "end", 6 * MEGABYTE);
  for (const name of [
    "Makefile",
    "makefile",
    "%41",
    "100% sure",
    "a\\b",
    "x:y",
    "é",
    "e\u0301",
    "\uFFFD",
    "日本",
  ]) {
    write(join(tree, "names", name), name);
  }
  const names = Buffer.from(join(tree, "names/"));
  for (const bytes of [[0xff, 0xfe], [0x61, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0x0a], [0x01, 0x7f]]) {
    writeFileSync(Buffer.concat([names, Buffer.from(bytes)]), Buffer.from(bytes));
  }
  symlinkSync(Buffer.from([0x78, 0xff]), Buffer.concat([names, Buffer.from([0xc0])]));
  write(join(tree, "C:x"), "no drive");
  utimesSync(join(tree, "docs/a.txt"), 1_000_000_000.123, 1_000_000_000.123);
  lutimesSync(join(tree, "to-a"), 1_100_000_000, 1_100_000_000);
  utimesSync(join(tree, "empty"), 1_200_000_000, 1_200_000_000);
  chmodSync(join(tree, "readonly"), 0o555);
  chmodSync(join(tree, "empty/inner"), 0o700);
}

test("a tree comes back as it was: names of any bytes, modes, times, links, holes", async () => {
  const { place, tree, repository } = await newPlace();
  fill(tree);
  chmodSync(tree, 0o750);
  const before = treeAt(tree);
  const taken = await repository.backup({ source: tree });
  expect(taken.source).toMatchObject({ type: "files", uri: tree, id: sourceFromUrl(tree).id });
  expect(taken.leftOut).toBeUndefined();
  expect(Object.keys(before).length).toBe(taken.files);
  const report = await repository.restore(taken.id, { target: place("back") });
  expect(treeAt(place("back"))).toEqual(before);
  expect(report).toMatchObject({ files: taken.files, bytes: taken.bytes, leftOut: [] });
  expect(statSync(place("back")).mode & 0o7777).toBe(0o750);
  expect(statSync(join(place("back"), "sparse.img")).blocks * 512).toBeLessThan(MEGABYTE);
  expect(statSync(join(place("back"), "docs/z-link")).ino).toBe(
    statSync(join(place("back"), "docs/a.txt")).ino,
  );
  expect(readdirSync(place("")).sort()).toEqual(["back", "tree", "vault"]);

  const tested = (await repository.verify(taken.id, { restoreTest: true })).find(
    ({ check }) => check === "restore:files",
  );
  expect(tested).toMatchObject({
    ok: true,
    details: expect.stringMatching(/^24 files, \d+ directories and 4 symbolic links/),
  });
  expect(readdirSync(place("vault")).filter((name) => name.startsWith("."))).toEqual([]);
});

test("the reader of the documentation reads it too", async () => {
  const { place, tree, repository } = await newPlace();
  fill(tree);
  const { id } = await repository.backup({ source: tree });
  const [part] = (await readerOfTheDocs(await newDirectory())).readSnapshot(place("vault"), id);
  expect(part?.files.get("names/%2541")?.toString()).toBe("%41");
  expect(part?.files.get("names/%FF%FE")).toEqual(Buffer.from([0xff, 0xfe]));
  expect(part?.files.get("names/%4Dakefile")?.toString()).toBe("Makefile");
  expect(part?.files.get("large.bin")?.length).toBe(5 * MEGABYTE);
});

test("what has not changed is not read again, and what has is", async () => {
  const { tree, repository } = await newPlace();
  for (let index = 0; index < 50; index++) write(join(tree, `d${index % 5}/f${index}`), `content ${index}`);
  await repository.backup({ source: tree });
  const again = await repository.backup({ source: tree });
  expect(again).toMatchObject({ newFiles: 0, newBytes: 0, storedBytes: 0 });
  writeFileSync(join(tree, "d1/f1"), "CONTENT 1"); // as long as before
  renameSync(join(tree, "d2/f2"), join(tree, "d2/g2"));
  const changed = await repository.backup({ source: tree });
  expect(changed).toMatchObject({ newFiles: 1, newBytes: 9 });
  const full = await repository.backup({ source: tree, type: "full" });
  expect(full).toMatchObject({ newFiles: 0, storedBytes: 0 });
});

test("what patterns name is left out, by options, files and the directories' own", async () => {
  const { place, tree, repository } = await newPlace();
  for (const path of [
    "a.log",
    "keep.log",
    "x/b.tmp",
    "x/keep.tmp",
    "x/deep/c.tmp",
    "node_modules/m/i.js",
    "y/node_modules",
    "Y.LOG",
  ]) {
    write(join(tree, path), path);
  }
  write(join(tree, ".backupignore"), "*.log\n!keep.log\n");
  write(join(tree, "x/.backupignore"), "*.tmp\n!keep.tmp\n");
  write(join(tree, "x/deep/.backupignore"), "!c.tmp\n");
  write(place("patterns"), "# a comment\nnode_modules/\n");
  const options = { excludeFrom: [place("patterns")] };
  const { id } = await repository.backup({ source: tree, exclude: ["y/"], sourceOptions: options });
  await repository.restore(id, { target: place("back") });
  expect(Object.keys(treeAt(place("back")))).toEqual([
    ...[".backupignore", "Y.LOG", "keep.log", "x", "x/.backupignore", "x/deep", "x/deep/.backupignore"],
    ...["x/deep/c.tmp", "x/keep.tmp"],
  ]);
  await expect(
    repository.backup({ source: tree, sourceOptions: { excludeFrom: [place("none")] } }),
  ).rejects.toThrow(ValidationError);
});

test("what is no file is named, and the rest is taken", async () => {
  const { tree, repository, logged } = await newPlace();
  write(join(tree, "a"), "a");
  execFileSync("mkfifo", [join(tree, "pipe")]);
  const taken = await repository.backup({ source: tree });
  expect(taken.leftOut).toEqual([{ table: "pipe", why: "unsupported", what: "it is a named pipe" }]);
  expect(logged.filter(({ level }) => level === "warn")).toMatchObject([
    { meta: { table: "pipe", what: "it is a named pipe" } },
  ]);
});

test("what is mounted below is named and left out, unless it is asked for", async () => {
  const { place, repository } = await newPlace();
  const mount = await otherFileSystem();
  if (mount === undefined) return;
  write(join(mount, "far"), "far");
  const around = join(mount, "..");
  write(join(around, "beside"), "beside");
  const taken = await repository.backup({ source: around });
  expect(taken.leftOut).toMatchObject([{ table: "mount", why: "excluded" }]);
  expect(taken.files).toBe(2);
  const all = await repository.backup({ source: around, sourceOptions: { oneFileSystem: false } });
  expect(all.files).toBe(3);
  const asked = await run(["backup", around, "--cross-mounts", "--repo", place("vault")]);
  expect(asked).toMatchObject({ code: 0, stdout: expect.stringContaining("3 files") });
  await repository.restore(all.id, { target: place("back") });
  expect(readFileSync(join(place("back"), "mount/far"), "utf8")).toBe("far");
});

test("a directory that is empty, or a file, is no source of files", async () => {
  const { place, tree, repository } = await newPlace();
  await expect(repository.backup({ source: tree })).rejects.toThrow(ValidationError);
  write(place("file"), "x");
  await expect(repository.backup({ source: place("file") })).rejects.toThrow(ValidationError);
  write(join(tree, "a"), "a");
  await expect(repository.backup({ source: tree, exclude: ["*"] })).rejects.toThrow(/nothing to back up in /);
  expect(await repository.list()).toEqual([]);
});

test("a file that grows while it is read is read again, and kept with a warning; one that goes is left out", async () => {
  const { place, tree, repository, logged } = await newPlace();
  write(join(tree, "b/gone"), Buffer.alloc(5 * MEGABYTE, 1));
  write(join(tree, "a/log"), Buffer.alloc(20 * MEGABYTE, 2));
  write(join(tree, "c/still"), "still");
  const remover: Source = {
    ...{ type: "remover", id: "r", uri: "r" },
    capture: async () => {
      renameSync(join(tree, "b/gone"), place("elsewhere")); // the files have been looked at by now
      return {
        capturedAt: new Date(),
        async *entries() {
          yield* [];
        },
        finish: async () => ({ about: {}, details: {} }),
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
  };
  const taken = await repository.backup({ sources: [tree, remover] });
  expect(taken.files).toBe(5);
  expect(logged.filter(({ level }) => level === "warn")).toMatchObject([
    { message: expect.stringContaining("removed while"), meta: { names: ["b/gone"] } },
  ]);
  const growing = setInterval(() => appendFileSync(join(tree, "a/log"), "more"), 1);
  const later = await repository.backup({ source: tree, type: "full" }).finally(() => clearInterval(growing));
  expect(logged.filter(({ level }) => level === "warn").at(-1)).toMatchObject({
    message: expect.stringContaining("changed while"),
    meta: { names: ["a/log"] },
  });
  await repository.restore(later.id, { target: place("back") });
  const back = readFileSync(join(place("back"), "a/log"));
  expect(back.equals(readFileSync(join(tree, "a/log")).subarray(0, back.length))).toBe(true);
  expect((await repository.backup({ source: tree })).newFiles).toBe(1); // a torn one is never known
});

test("what is a LanceDB database is taken as one, and files beside it at the same moment", async () => {
  const { place, tree, repository } = await newPlace();
  await makeSampleTable(await connect(place("db")), "main");
  write(join(tree, "upload"), "u");
  const taken = await repository.backup({ sources: [place("db"), tree] });
  expect(taken.parts.map(({ source }) => source.type)).toEqual(["lancedb", "files"]);
  expect(taken.tables.map(({ id }) => id)).toEqual(["main"]);
  await repository.restore(taken.id, { targets: [{ part: "files", target: place("back") }] });
  expect(readFileSync(join(place("back"), "upload"), "utf8")).toBe("u");
});

test("the command backs files up by a path, leaves out, and restores some paths", async () => {
  const { place, tree } = await newPlace();
  write(join(tree, "a/one"), "1");
  write(join(tree, "a/two"), "2");
  write(join(tree, "b/three"), "3");
  write(join(tree, "c.log"), "4");
  for (const name of ["one", "two"]) write(join(tree, `${name}.tmp`), "5");
  write(place("patterns"), "one.tmp\n");
  write(place("others"), "two.tmp\n");
  const repo = ["--repo", place("vault")];
  const from = ["patterns", "others"].flatMap((name) => ["--exclude-from", place(name)]);
  const taken = await runJson<{ files: number }>(["backup", tree, "--exclude", "*.log", ...from, ...repo]);
  expect(taken.files).toBe(5);
  const told = await run(["restore", "latest", place("back"), "--path", "a/one", "--path", "b", ...repo]);
  expect(told).toMatchObject({ code: 0, stdout: expect.stringContaining("4 files") });
  expect(Object.keys(treeAt(place("back")))).toEqual(["a", "a/one", "b", "b/three"]);
  expect((await run(["restore", "latest", place("x"), "--path", "nowhere", ...repo])).code).toBe(2);
  expect(existsSync(place("x"))).toBe(false);
  truncateSync(join(tree, "a/one"));
  const place2 = await run(["restore", "latest", tree, "--in-place", "--yes", "--path", "a", ...repo]);
  expect(place2).toMatchObject({ code: 0 });
  expect(readFileSync(join(tree, "a/one"), "utf8")).toBe("1");
});
