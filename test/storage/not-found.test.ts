import { join } from "node:path";
import { expect, test } from "vitest";
import { IoError, isNotFound, NotFoundError } from "../../src/errors.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { readAll, rejection } from "../support/pieces.ts";

test("what is not there is told by the code, and is an IoError still", async () => {
  const directory = await newDirectory();
  const error = await rejection(readAll(new LocalStorage(directory), "a/b"));
  expect(error).toBeInstanceOf(NotFoundError);
  expect(error).toBeInstanceOf(IoError);
  expect(error).toMatchObject({ code: "NOT_FOUND", errno: "ENOENT", path: join(directory, "a/b") });
  expect(isNotFound(error)).toBe(true);
});

test("the error of another copy of the package is known by its code", () => {
  expect(isNotFound(Object.assign(new Error("gone"), { code: "NOT_FOUND" }))).toBe(true);
});

test.each([
  new IoError("refused", { errno: "EACCES" }),
  new IoError("a source's file has vanished", { errno: "ENOENT" }),
  Object.assign(new Error("no such file"), { code: "ENOENT" }),
  { code: "NOT_FOUND" },
  undefined,
])("nothing else is: %s", (error) => {
  expect(isNotFound(error)).toBe(false);
});
