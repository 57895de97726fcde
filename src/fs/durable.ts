import { randomUUID } from "node:crypto";
import { closeSync, fsync, linkSync, openSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, io, isMissing } from "./io.ts";
import { nameByClaim } from "./name-by-claim.ts";
import { hasNoLinks } from "./name-new.ts";
import { takeOwner } from "./take-owner.ts";

const fsyncFile = promisify(fsync);

/** Puts a file's content on the disk. */
export async function syncFile(path: string): Promise<void> {
  await io("sync", path, async () => {
    const file = openSync(path, "r");
    try {
      await fsyncFile(file);
    } finally {
      closeSync(file);
    }
  });
}

/** Puts a directory's entries on the disk. Windows has no such call; its file system journals them by itself. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform !== "win32") await syncFile(path);
}

/** Syncs several directories at once, so that the file system can write its journal once for all. */
export async function syncDirectories(paths: Iterable<string>): Promise<void> {
  await Promise.all(Array.from(new Set(paths), syncDirectory));
}

async function writeTemporary(
  target: string,
  content: string | Uint8Array,
  before?: () => Promise<void>,
): Promise<string> {
  const temporary = join(dirname(target), `.${randomUUID()}.tmp`);
  await io("write", target, async () => {
    const file = openSync(temporary, "wx");
    try {
      writeFileSync(file, content);
      takeOwner(temporary);
      const settled = await Promise.allSettled([fsyncFile(file), before?.()]);
      for (const result of settled) if (result.status === "rejected") throw result.reason;
    } catch (error) {
      closeSync(file);
      await removeQuietly(temporary);
      throw error;
    }
    closeSync(file);
  });
  return temporary;
}

async function removeQuietly(path: string): Promise<void> {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isMissing(error)) return; // the temporary file is swept later; the first error is what matters
  }
}

/**
 * Writes a whole file, or nothing: a reader sees the old content or the new, also after a power cut.
 * Replaces what has the name. Returns when the content and the name are on the disk.
 *
 * @param before done while the content is synced, and finished before the file gets its name.
 */
export async function writeFileDurably(
  path: string,
  content: string | Uint8Array,
  before?: () => Promise<void>,
): Promise<void> {
  const temporary = await writeTemporary(path, content, before);
  await io("write", path, async () => {
    try {
      renameSync(temporary, path);
    } catch (error) {
      await removeQuietly(temporary);
      throw error;
    }
  });
  await syncDirectory(dirname(path));
}

/**
 * Creates a file that appears complete, or tells that the name is taken: `false`, and nothing changed.
 * Not synced: for locks, whose loss in a power cut frees them.
 *
 * @param isWanted asked directly before it gets its name; `false`, too, where it is not.
 */
export async function createFileExclusively(
  path: string,
  content: string | Uint8Array,
  isWanted?: () => boolean,
): Promise<boolean> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  return io("create", path, async () => {
    const file = openSync(temporary, "wx");
    try {
      writeFileSync(file, content);
      takeOwner(temporary);
    } finally {
      closeSync(file);
    }
    try {
      if (isWanted?.() === false) return false;
      linkSync(temporary, path);
      return true;
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return false;
      if (!hasNoLinks(error)) throw error;
      return await nameByClaim(temporary, path, undefined, isWanted);
    } finally {
      await removeQuietly(temporary);
    }
  });
}
