import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { nameFile } from "../../src/fs/name-file.ts";
import { newDirectory } from "../support/database.ts";

let root: string;
beforeEach(async () => {
  root = await newDirectory();
  writeFileSync(join(root, "body"), "body");
});

test("costs no inode where links can be made", () => {
  nameFile(join(root, "body"), join(root, "name"));
  expect(statSync(join(root, "name")).ino).toBe(statSync(join(root, "body")).ino);
});

test("leaves what has the name", () => {
  writeFileSync(join(root, "name"), "there");
  nameFile(join(root, "body"), join(root, "name"));
  expect(readFileSync(join(root, "name"), "utf8")).toBe("there");
});

test("makes an empty file where there is nothing to link to", () => {
  nameFile(join(root, "gone"), join(root, "name"));
  mkdirSync(join(root, "directory"));
  nameFile(join(root, "directory"), join(root, "other")); // no file system links directories
  expect(readdirSync(root).sort()).toEqual(["body", "directory", "name", "other"]);
  expect(readFileSync(join(root, "other"), "utf8")).toBe("");
});

test("throws the system's error where the directory is gone", () => {
  const name = join(root, "gone", "name");
  expect(() => nameFile(join(root, "body"), name)).toThrow(expect.objectContaining({ code: "ENOENT" }));
  expect(existsSync(name)).toBe(false);
});
