import { describe, expect, test } from "vitest";
import {
  BackupError,
  ConflictError,
  IoError,
  insertRecordsWithBackup,
  isBackupError,
  RestoreError,
  ShrunkError,
} from "../../src/index.ts";
import { newDirectory } from "../support/database.ts";

describe("errors survive JSON.stringify", () => {
  const json = (error: unknown) => JSON.parse(JSON.stringify(error));

  test("with code, message and their own fields, and no stack", () => {
    const full = new IoError("The disk is full.", { errno: "ENOSPC", path: "/data" });
    expect(json(full)).toEqual({
      name: "IoError",
      code: "IO",
      message: "The disk is full.",
      errno: "ENOSPC",
      path: "/data",
    });
    const tables = [{ table: "a", rowsBefore: 10, rows: 0, isGone: true }];
    expect(json({ error: new ShrunkError("Less.", tables) })).toMatchObject({
      error: { code: "SHRUNK", tables },
    });
  });

  test("with the errors behind them, theirs and others'", () => {
    const cause = new IoError("No.", { cause: Object.assign(new Error("EACCES: no"), { code: "EACCES" }) });
    const error = new RestoreError("It failed.", {
      restoreError: cause,
      workError: new TypeError("mine"),
      backupPath: "/backups/1",
    });
    expect(json(error)).toMatchObject({
      code: "RESTORE",
      backupPath: "/backups/1",
      restoreError: { code: "IO", cause: { name: "Error", code: "EACCES", message: "EACCES: no" } },
      workError: { name: "TypeError", message: "mine" },
      cause: { code: "IO" },
    });
  });

  test("also where errors stand in a circle, or others threw what JSON has no words for", () => {
    const outer = new IoError("outer");
    const plain = new Error("between", { cause: outer });
    Object.assign(outer, { cause: plain });
    expect(json(outer)).toMatchObject({ code: "IO", cause: { message: "between", cause: { code: "IO" } } });
    const thrown: Record<string, unknown> = { big: 1n };
    thrown["self"] = thrown;
    const error = new RestoreError("It failed.", { restoreError: 2n, workError: thrown, backupPath: "/b" });
    expect(json(error)).toMatchObject({ restoreError: "2", workError: "[object Object]", backupPath: "/b" });
  });

  test("the errors in a list, too", () => {
    const conflict = new ConflictError("Others.", [{ table: "a", versions: [2] }]);
    expect(json(conflict)).toMatchObject({ conflicts: [{ table: "a", versions: [2] }] });
  });
});

describe("isBackupError", () => {
  test("narrows by code", () => {
    const error: unknown = new ConflictError("Others.", [{ table: "a", versions: [2] }], { backup: "b1" });
    if (!isBackupError(error) || error.code !== "CONFLICT") throw new Error("it is one");
    // The types know the class by its code.
    expect([error.conflicts.length, error.backup]).toEqual([1, "b1"]);
  });

  test("knows the errors of another copy of the package, and no others", () => {
    expect(isBackupError(Object.assign(new Error("x"), { code: "LOCKED" }))).toBe(true);
    for (const other of [
      new Error("x"),
      Object.assign(new Error("x"), { code: "ENOENT" }),
      { code: "IO" },
      undefined,
    ]) {
      expect(isBackupError(other)).toBe(false);
    }
  });
});

test("a value that is refused is named by row and column, as data too", async () => {
  const rows = [
    { id: 1, vector: [1, 2] },
    { id: 2, vector: [1] },
  ];
  const into = { uri: await newDirectory(), table: "t", strategy: "lance-version" } as const;
  const error = await insertRecordsWithBackup(rows, into).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(BackupError);
  expect(error).toMatchObject({ code: "VALIDATION", row: 1, column: "vector" });
});
