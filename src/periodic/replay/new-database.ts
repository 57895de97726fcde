import { randomUUID } from "node:crypto";
import { lstat, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ValidationError } from "../../errors.ts";
import { syncDirectory, syncFile } from "../../fs/durable.ts";
import { errnoOf, io, isMissing, toIoError } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { takeOwnerBelow } from "../../fs/owner.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Target } from "./target.ts";

const AT_ONCE = 16;

/**
 * Makes a database whole or not at all: `fill` writes into a directory beside it, which is synced and gets
 * its name when `fill` is done. A failure leaves nothing.
 *
 * @throws ValidationError where the target exists and is not an empty directory.
 */
export async function makeDatabase<T>(
  lancedb: LanceDB,
  path: string,
  fill: (target: Target) => Promise<T>,
): Promise<T> {
  await assertFree(path);
  const partial = `${path}.partial-${randomUUID()}`;
  await io("make directory", partial, () => makeDirectory(partial));
  try {
    const db = await lancedb.connect(partial);
    let result: T;
    try {
      result = await fill({ lancedb, db, path: partial });
    } finally {
      db.close();
    }
    takeOwnerBelow(partial);
    await syncTree(partial);
    await io("put in place", path, async () => {
      await assertFree(path);
      await rmdir(path).catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
      await rename(partial, path);
    });
    await syncDirectory(dirname(path));
    return result;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

/** @throws ValidationError where something is there, a symbolic link too: it would have to be replaced. */
export async function assertFree(path: string): Promise<void> {
  const entry = await lstat(path).catch((error: unknown) => {
    if (!isMissing(error)) throw toIoError(error, "read", path);
  });
  if (entry?.isSymbolicLink()) {
    throw new ValidationError(`${path} is a symbolic link; give the directory that it leads to.`);
  }
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    if (isMissing(error)) throw new ValidationError(`${path} is not a directory.`, { cause: error });
    throw toIoError(error, "list", path);
  }
  if (names.length === 0) return;
  throw new ValidationError(`${path} is not empty; give a directory that does not exist, or an empty one.`);
}

async function syncTree(root: string): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile() || entry.isDirectory());
  const all = paths.map((entry) => ({ path: join(entry.parentPath, entry.name), isFile: entry.isFile() }));
  for (let at = 0; at < all.length; at += AT_ONCE) {
    const some = all.slice(at, at + AT_ONCE);
    await Promise.all(some.map(({ path, isFile }) => (isFile ? syncFile(path) : syncDirectory(path))));
  }
  await syncDirectory(root);
}
