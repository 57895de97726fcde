import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { directoryCopy } from "../../src/guard/kept-strategies.ts";
import { newDirectory } from "../support/database.ts";

/** What another process does between our look at a backup and our rename of it. */
const meanwhile = vi.hoisted(() => ({ act: undefined as (() => Promise<void>) | undefined }));

vi.mock("node:fs/promises", async (importOriginal) => {
  const original = await importOriginal<typeof import("node:fs/promises")>();
  const rename: typeof original.rename = async (from, to) => {
    const { act } = meanwhile;
    meanwhile.act = undefined;
    await act?.();
    return original.rename(from, to);
  };
  return { ...original, rename };
});

afterEach(() => {
  meanwhile.act = undefined;
});

test("two processes sweep one backup, and the other is quicker: it is gone, and that is no error", async () => {
  const directory = await newDirectory();
  const backup = join(directory, "backup_1");
  expect(directoryCopy.claim(backup, "uuid-1")).toBe(true);
  writeFileSync(join(backup, "data"), "x");
  const other = vi.fn(async () => {
    await directoryCopy.discard(backup, "uuid-1");
    expect(existsSync(backup)).toBe(false);
  });
  meanwhile.act = other;
  await directoryCopy.discard(backup, "uuid-1");
  expect(other).toHaveBeenCalledOnce();
  expect(readdirSync(directory)).toEqual([]);
});

test("any other reason is one", async () => {
  const backup = join(await newDirectory(), "backup_1");
  directoryCopy.claim(backup, "uuid-1");
  meanwhile.act = async () => {
    throw Object.assign(new Error("not permitted"), { code: "EACCES" });
  };
  await expect(directoryCopy.discard(backup, "uuid-1")).rejects.toMatchObject({
    code: "IO",
    errno: "EACCES",
  });
  expect(existsSync(backup)).toBe(true);
});
