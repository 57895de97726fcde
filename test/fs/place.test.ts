import { existsSync, linkSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  createFileExclusively,
  syncDirectories,
  syncDirectory,
  syncFile,
  writeFileDurably,
} from "../../src/fs/durable.ts";
import { isStampOf, stampOf } from "../../src/fs/held-root.ts";
import { errnoOf, io, isMissing, toIoError } from "../../src/fs/io.ts";
import { PIN_ORDER, Placer } from "../../src/fs/placer.ts";
import { assertInnerPath, assertTableName } from "../../src/fs/safe-names.ts";
import { CorruptError, IoError, ValidationError } from "../../src/index.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { otherFileSystem } from "../support/other-file-system.ts";

async function source(): Promise<{ from: string; to: string }> {
  const directory = await newDirectory();
  const [from, to] = [join(directory, "from"), join(directory, "to")];
  mkdirSync(join(from, "data/deep"), { recursive: true });
  writeFileSync(join(from, "a"), "first");
  writeFileSync(join(from, "data/deep/b"), "second");
  return { from, to };
}

test("a hard link is the same file, a copy is another with the same content", async () => {
  const { from, to } = await source();
  const links = new Placer("hardlink");
  await links.place(from, to, "data/deep/b");
  expect(statSync(join(to, "data/deep/b")).ino).toBe(statSync(join(from, "data/deep/b")).ino);
  const copies = new Placer("copy");
  await copies.place(from, to, "a");
  expect(statSync(join(to, "a")).ino).not.toBe(statSync(join(from, "a")).ino);
  await links.copy(from, to, "data/deep/b").catch((error: unknown) => expect(errnoOf(error)).toBe("EEXIST"));
  await Promise.all([links.sync(), copies.sync()]);
  expect(filesBelow(to).map((path) => readFileSync(join(to, path), "utf8"))).toEqual(["first", "second"]);
});

test("what is missing and what is there already is told by the system's own errors", async () => {
  const { from, to } = await source();
  for (const mode of ["hardlink", "copy", "auto"] as const) {
    const placer = new Placer(mode);
    await expect(placer.place(from, to, "nope")).rejects.toMatchObject({ code: "ENOENT" });
    await placer.place(from, join(to, mode), "a");
    await expect(placer.place(from, join(to, mode), "a")).rejects.toMatchObject({ code: "EEXIST" });
  }
});

test("a file under another name, and a directory that a file blocks", async () => {
  const { from, to } = await source();
  const placer = new Placer(PIN_ORDER);
  await placer.placeAs(join(from, "a"), to, "x/y/z");
  expect(readFileSync(join(to, "x/y/z"), "utf8")).toBe("first");
  await expect(placer.place(from, join(to, "x/y/z"), "a")).rejects.toThrow(IoError);
});

test("auto passes to the next way where one cannot, and stays there", async (context) => {
  const to = await otherFileSystem();
  if (!to) return context.skip();
  const { from } = await source();
  const placer = new Placer("auto");
  await placer.place(from, to, "a");
  expect(placer.method).toBe("copy");
  await placer.place(from, to, "data/deep/b");
  await placer.sync();
  expect(filesBelow(to)).toEqual(["a", "data/deep/b"]);
});

test("a copy that fails is an error of the system, and no other way is advised", async (context) => {
  const unreadable = "/sys/class/net/lo/speed"; // reading it is EINVAL
  if (!existsSync(unreadable)) return context.skip();
  const { to } = await source();
  const copied = new Placer("copy").placeAs(unreadable, to, "x");
  await expect(copied).rejects.toMatchObject({ code: "IO", errno: "EINVAL" });
});

test("many files", async () => {
  const { from, to } = await source();
  for (let n = 0; n < 1000; n++) writeFileSync(join(from, `f${n}`), String(n));
  const placer = new Placer("auto", { syncLinked: true });
  for (let n = 0; n < 1000; n++) await placer.place(from, to, `f${n}`);
  await placer.sync();
  expect(filesBelow(to)).toHaveLength(1000);
});

test("a file is written whole or not at all, and replaces what has the name", async () => {
  const directory = await newDirectory();
  const path = join(directory, "record");
  await writeFileDurably(path, "one");
  const { ino } = statSync(path);
  linkSync(path, join(directory, "other name"));
  await writeFileDurably(path, "two");
  expect(readFileSync(path, "utf8")).toBe("two");
  expect(statSync(path).ino).not.toBe(ino);
  expect(readFileSync(join(directory, "other name"), "utf8")).toBe("one");
  mkdirSync(join(directory, "d"));
  await expect(writeFileDurably(join(directory, "d"), "x")).rejects.toThrow(IoError);
  await expect(writeFileDurably(join(directory, "nope", "x"), "x")).rejects.toMatchObject({
    errno: "ENOENT",
  });
  expect(filesBelow(directory)).toEqual(["other name", "record"]);
});

test("of many that create the same file one succeeds, and no reader sees half of it", async () => {
  const directory = await newDirectory();
  const path = join(directory, "lock");
  const contents = Array.from({ length: 30 }, (_, n) => `owner ${n} `.repeat(1000));
  const results = await Promise.all(contents.map((content) => createFileExclusively(path, content)));
  expect(results.filter(Boolean)).toHaveLength(1);
  expect(contents[results.indexOf(true)]).toBe(readFileSync(path, "utf8"));
  expect(filesBelow(directory)).toEqual(["lock"]);
});

test("syncing names what it could not sync", async () => {
  const directory = await newDirectory();
  await syncDirectory(directory);
  await syncDirectories([directory, directory]);
  await expect(syncFile(join(directory, "nope"))).rejects.toMatchObject({ code: "IO", errno: "ENOENT" });
});

test("errors of the file system become errors that name action, path and advice", async () => {
  const full = Object.assign(new Error("write"), { code: "ENOSPC" });
  const error = toIoError(full, "write", "/x/y");
  expect(error).toMatchObject({ code: "IO", errno: "ENOSPC", path: "/x/y", cause: full });
  expect(error.message).toMatch(/write \/x\/y: the disk is full.*ENOSPC/);
  const ours = new ValidationError("mine");
  expect(toIoError(ours, "write", "/x")).toBe(ours);
  expect(toIoError("a text", "write", "/x").message).toContain("a text");
  await expect(io("do", "/x", () => Promise.reject(full))).rejects.toThrow(IoError);
  expect(await io("do", "/x", () => 7)).toBe(7);
  for (const [code, missing] of [
    ["ENOENT", true],
    ["ENOTDIR", true],
    ["EACCES", false],
  ] as const) {
    expect(isMissing(Object.assign(new Error(), { code }))).toBe(missing);
  }
  expect(isMissing("ENOENT")).toBe(false);
});

test.each(["a", "A-b_c.9", ".x", "-", "0"])("%j is a table's name", (name) => {
  expect(() => assertTableName(name)).not.toThrow();
});

test.each(["", "..", "a..b", "a/b", "a\\b", "a b", "a$b", "ü", "a\0", "a\n", "%2e"])("%j is none", (name) => {
  expect(() => assertTableName(name)).toThrow(ValidationError);
});

test.each([1, null, undefined, {}])("%j is no text", (name) => {
  expect(() => assertTableName(name)).toThrow(TypeError);
});

test.each(["a", "a/b.lance", "data/x y", "ü", "a..b"])("%j stays inside", (path) => {
  expect(() => assertInnerPath(path, "m")).not.toThrow();
});

test.each(["", "/a", "a//b", "a/", "../a", "a/../b", "./a", "a/.", "C:/a", "a\\..\\b", "a\0b"])(
  "%j does not",
  (path) => {
    expect(() => assertInnerPath(path, "the manifest")).toThrow(CorruptError);
    expect(() => assertInnerPath(path, "the manifest")).toThrow(/the manifest/);
  },
);

test("an exclusive file is not made where it is not wanted any more, and nothing is left of it", async () => {
  const { from } = await source();
  const before = filesBelow(from);
  expect(await createFileExclusively(join(from, "new"), "x", () => false)).toBe(false);
  expect(filesBelow(from)).toEqual(before);
  expect(await createFileExclusively(join(from, "new"), "x", () => true)).toBe(true);
});

test("a directory is known by its stamp whatever part of a second the runtime that wrote it could tell", async () => {
  const directory = await newDirectory();
  const [inode, nanoseconds = ""] = stampOf(directory)!.split(" ");
  const asDeno = `${nanoseconds.slice(0, -6)}000000`;
  expect(isStampOf(stampOf(directory), directory)).toBe(true);
  expect(isStampOf(`${inode} ${asDeno}`, directory)).toBe(true);
  expect(isStampOf(`${inode} ${BigInt(asDeno) - 1_000_000n}`, directory)).toBe(false);
  expect(isStampOf(`1${inode} ${nanoseconds}`, directory)).toBe(false);
  expect(isStampOf(undefined, directory)).toBe(false);
});
