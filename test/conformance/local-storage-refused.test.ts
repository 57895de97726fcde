import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { IoError } from "../../src/errors.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { namesBelow, readAll, rejection } from "../support/pieces.ts";

const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

/** A storage on a file system of its own, of this many bytes. */
async function mounted(size: string): Promise<LocalStorage> {
  const directory = await newDirectory();
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", directory]);
  expect(status).toBe(0);
  onTestFinished(() => void spawnSync("umount", ["-l", directory]));
  return new LocalStorage(directory);
}

/** Everything on the disk, hidden files too. */
const onDisk = (storage: LocalStorage) =>
  readdirSync(storage.directory, { recursive: true }).map(String).sort();

test.skipIf(!isRoot)(
  "a full disk: ENOSPC names the object, nothing is left, the old content stays",
  async () => {
    const storage = await mounted("256k");
    await storage.write("a/kept", Buffer.from("old"));
    for (const attempt of [
      () => storage.write("a/kept", Buffer.alloc(1_000_000)),
      () => storage.writeNew("a/new", Buffer.alloc(1_000_000)),
    ]) {
      const error = await rejection(attempt());
      expect(error).toBeInstanceOf(IoError);
      expect(error).toMatchObject({ errno: "ENOSPC", path: expect.stringMatching(/a\/(kept|new)$/) });
      expect(onDisk(storage)).toEqual(["a", "a/kept"]);
    }
    expect((await readAll(storage, "a/kept")).toString()).toBe("old");
    expect(await storage.writeNew("a/new", Buffer.from("small"))).toBe(true);
  },
);

test.skipIf(!isRoot)("a read-only file system: EROFS for every change, and reading goes on", async () => {
  const storage = await mounted("256k");
  await storage.write("a/b", Buffer.from("x"));
  spawnSync("mount", ["-o", "remount,ro", storage.directory]);
  for (const change of [
    () => storage.write("a/b", Buffer.from("y")),
    () => storage.write("c/d", Buffer.from("y")),
    () => storage.writeNew("a/c", Buffer.from("y")),
    () => storage.remove("a/b"),
  ]) {
    const error = await rejection(change());
    expect(error).toBeInstanceOf(IoError);
    expect(error).toMatchObject({ errno: "EROFS" });
  }
  expect(await namesBelow(storage)).toEqual(["a/b"]);
  expect((await readAll(storage, "a/b")).toString()).toBe("x");
});

test.skipIf(!isRoot)("another user's files: EACCES, named", async () => {
  const directory = await newDirectory();
  chmodSync(directory, 0o755);
  const storage = new LocalStorage(join(directory, "storage"));
  await storage.write("a/open", Buffer.from("x"));
  await storage.write("a/closed", Buffer.from("x"));
  await storage.write("closed/b", Buffer.from("x"));
  chmodSync(join(storage.directory, "a/closed"), 0o600);
  chmodSync(join(storage.directory, "closed"), 0o700);
  process.seteuid?.(NOBODY);
  onTestFinished(() => void process.seteuid?.(0));
  expect((await readAll(storage, "a/open")).toString()).toBe("x");
  for (const refused of [
    () => readAll(storage, "a/closed"),
    () => readAll(storage, "closed/b"),
    () => storage.write("a/open", Buffer.from("y")),
    () => storage.writeNew("a/new", Buffer.from("y")),
    () => storage.remove("a/open"),
    () => storage.stat("closed/b"),
    () => namesBelow(storage, "closed/"),
    () => namesBelow(storage),
  ]) {
    const error = await rejection(refused());
    expect(error).toBeInstanceOf(IoError);
    expect(error).toMatchObject({ errno: "EACCES", path: expect.stringContaining(storage.directory) });
  }
  process.seteuid?.(0);
  expect(onDisk(storage)).toEqual(["a", "a/closed", "a/open", "closed", "closed/b"]);
});

test.skipIf(!isRoot)("a directory around the root that may not be read bars nothing", async () => {
  const directory = await newDirectory();
  chmodSync(directory, 0o711);
  mkdirSync(join(directory, "mine"), { mode: 0o777 });
  chmodSync(join(directory, "mine"), 0o777);
  process.seteuid?.(NOBODY);
  onTestFinished(() => void process.seteuid?.(0));
  const storage = new LocalStorage(join(directory, "mine"));
  await storage.write("a/b", Buffer.from("x"));
  expect(await namesBelow(storage)).toEqual(["a/b"]);
});

test("symbolic links below the root are no objects, and lead nowhere", async () => {
  const directory = await newDirectory();
  const storage = new LocalStorage(join(directory, "storage"));
  const outside = join(directory, "outside");
  mkdirSync(join(outside, "in"), { recursive: true });
  writeFileSync(join(outside, "secret"), "secret");
  writeFileSync(join(outside, "in/secret"), "secret");
  await storage.write("a/b", Buffer.from("x"));
  symlinkSync(join(outside, "secret"), join(storage.directory, "a/link"));
  symlinkSync(outside, join(storage.directory, "away"));
  expect(await namesBelow(storage)).toEqual(["a/b"]);
  expect(await storage.stat("a/link")).toBeUndefined();
  expect(await rejection(readAll(storage, "a/link"))).toMatchObject({ code: "NOT_FOUND", errno: "ENOENT" });
  expect(await rejection(storage.writeNew("a/link", Buffer.from("y")))).toMatchObject({ errno: "EEXIST" });
  for (const call of [
    () => readAll(storage, "away/secret"),
    () => readAll(storage, "away/in/secret"),
    () => storage.write("away/secret", Buffer.from("y")),
    () => storage.writeNew("away/in/new", Buffer.from("y")),
    () => storage.remove("away/in/secret"),
    () => storage.stat("away/secret"),
    () => namesBelow(storage, "away/"),
  ]) {
    const error = await rejection(call());
    expect(error).toBeInstanceOf(IoError);
    expect(error).toMatchObject({ errno: "ELOOP" });
  }
  await storage.remove("a/link");
  expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
  expect(readdirSync(outside, { recursive: true }).sort()).toEqual(["in", "in/secret", "secret"]);
});

test("the root may be a symbolic link", async () => {
  const directory = await newDirectory();
  mkdirSync(join(directory, "real"));
  symlinkSync(join(directory, "real"), join(directory, "link"));
  const storage = new LocalStorage(join(directory, "link"));
  await storage.write("a/b", Buffer.from("x"));
  expect(await namesBelow(storage)).toEqual(["a/b"]);
  expect(readFileSync(join(directory, "real/a/b"), "utf8")).toBe("x");
});

test("what else lies in the directory is passed over: hidden files, names of others, pipes", async () => {
  const storage = new LocalStorage(await newDirectory());
  await storage.write("a/b", Buffer.from("x"));
  for (const name of [".hidden", ".0a.tmp", "with space.txt", "ä", "a/.DS_Store", "a/Copy (1).json"])
    writeFileSync(join(storage.directory, name), "");
  mkdirSync(join(storage.directory, "lost + found"));
  writeFileSync(join(storage.directory, "lost + found/x"), "");
  if (spawnSync("mkfifo", [join(storage.directory, "a/pipe")]).status === 0) {
    expect(await rejection(readAll(storage, "a/pipe"))).toMatchObject({ code: "NOT_FOUND", errno: "ENOENT" });
    expect(await storage.stat("a/pipe")).toBeUndefined();
  }
  expect(await namesBelow(storage)).toEqual(["a/b"]);
});

test("a file where a directory is wanted, and a directory where an object is, are IoErrors", async () => {
  const storage = new LocalStorage(await newDirectory());
  await storage.write("a", Buffer.from("x"));
  await storage.write("d/e", Buffer.from("x"));
  for (const call of [
    () => storage.write("a/b", Buffer.from("y")),
    () => storage.writeNew("a/b", Buffer.from("y")),
    () => storage.write("d", Buffer.from("y")),
    () => storage.writeNew("d", Buffer.from("y")),
  ]) {
    expect(await rejection(call())).toBeInstanceOf(IoError);
  }
  expect(onDisk(storage)).toEqual(["a", "d", "d/e"]);
});

test("a storage that was never written to makes no directory", async () => {
  const storage = new LocalStorage(join(await newDirectory(), "none"));
  expect(await namesBelow(storage)).toEqual([]);
  await storage.remove("a/b");
  expect(await storage.stat("a/b")).toBeUndefined();
  expect(existsSync(storage.directory)).toBe(false);
});
