import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsync,
  linkSync,
  openSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, io, isError, isMissing } from "./io.ts";
import { hasNoLinks, nameByClaim } from "./name-file.ts";
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

/** The same for a file that others may take away. */
export async function syncIfThere(path: string): Promise<void> {
  await syncFile(path).catch((error: unknown) => {
    if (!isMissing(isError(error) ? error.cause : error)) throw error;
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
    if (!isMissing(error)) return; // the temporary file is removed later; the first error is what matters
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
 * Creates a file that appears whole, or tells that the name is taken: `false`, and nothing changed.
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

const STRETCH = 64;

/**
 * Puts small files on the disk: many of them by one call for the whole file system, which is quicker than one for each
 * (1.3 against 3.6 s for thousands); few, or where there is no such command, each by itself.
 *
 * @param directory on the file system that holds them all.
 */
export async function syncTogether(directory: string, files: readonly string[]): Promise<void> {
  if (files.length < STRETCH || !(await syncFileSystem(directory))) {
    for (let index = 0; index < files.length; index += STRETCH) {
      await Promise.all(files.slice(index, index + STRETCH).map(syncFile));
    }
  }
}

async function syncFileSystem(directory: string): Promise<boolean> {
  try {
    await promisify(execFile)("sync", ["-f", directory]);
    return true;
  } catch {
    return false; // no such command, or one without that option
  }
}

const OWNER_READS = 0o400;

/** Leaves a file to its owner, to be read: of what came from elsewhere nobody knows who else was to see it. */
export async function sealFile(path: string): Promise<void> {
  await io("protect", path, () => chmodSync(path, OWNER_READS));
}

/** Writes a small file in one go, without a sync, as `NewFile` does: that takes a tenth of the time. What the system refuses comes out as it is. */
export function writeSmallFile(path: string, content: Uint8Array): void {
  closeSync(writeSmall(path, content));
}

/** The same, and waits until its content is on the disk. */
export async function writeSmallSynced(path: string, content: Uint8Array): Promise<void> {
  const file = writeSmall(path, content);
  try {
    await fsyncFile(file);
  } finally {
    closeSync(file);
  }
}

/** @returns the open file. */
function writeSmall(path: string, content: Uint8Array): number {
  const file = openSync(path, "wx");
  try {
    takeOwner(path);
    for (let at = 0; at < content.length; ) at += writeSync(file, content, at);
    return file;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** A file that is written from its beginning to its end, of the owner of its directory. */
export class NewFile implements AsyncDisposable {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Where nothing has the name. What the system refuses comes out as it is. */
  static async create(path: string): Promise<NewFile> {
    const file = await open(path, "wx");
    takeOwner(path);
    return new NewFile(file);
  }

  async write(piece: Uint8Array): Promise<void> {
    for (let rest = piece; rest.length > 0; ) {
      const { bytesWritten } = await this.#file.write(rest);
      rest = rest.subarray(bytesWritten);
    }
  }

  /** Waits until what was written is on the disk. */
  async sync(): Promise<void> {
    await this.#file.sync();
  }

  /** Without a sync. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
