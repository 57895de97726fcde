import { createHash, randomUUID } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  linkSync,
  renameSync,
  rmdirSync,
  type Stats,
  statSync,
  unlinkSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BlobStore, FileToRead } from "../../../engine/blobs/blob-store.ts";
import { BackupError, CorruptError } from "../../../errors.ts";
import { makeDirectory } from "../../../fs/directory-tree.ts";
import { syncDirectories, syncFile } from "../../../fs/durable.ts";
import { io, isTaken, isVanished } from "../../../fs/io.ts";
import { nameNew } from "../../../fs/name-file.ts";
import { takeOwner } from "../../../fs/take-owner.ts";
import { ensurePrivateDirectory } from "../../../lance/private-directory.ts";
import { isDataset } from "../../../lance/table-directory.ts";

/** A live file that a blob is to take the place of. */
export interface HealPlan {
  /** The table's directory, and the file in it; absolute. */
  readonly dataset: string;
  readonly file: string;
  /** Where the damaged one is kept, below the database's own directory for that. */
  readonly asideName: string;
  /** What is put in its place. */
  readonly sound: FileToRead;
  /** The file as it was judged; undefined where it was missing. */
  readonly seen: Stats | undefined;
}

export type Healed =
  | { readonly mended: true; readonly aside: string | undefined }
  | { readonly mended: false; readonly refused: string };

const MODE = 0o644;
const DROPPED = "its table has been dropped meanwhile";

/**
 * Puts a blob in the place of a damaged file: written beside it and hashed, synced, then renamed over it. The damaged
 * one is kept. Until the rename nothing has changed; a reader sees the one or the other. A file that is not any more as
 * it was judged is left alone, and a table that was dropped stays so.
 */
export async function healFile(
  blobs: BlobStore,
  database: string,
  plan: HealPlan,
  signal?: AbortSignal,
): Promise<Healed> {
  const { dataset, file, seen } = plan;
  const temporary = join(dirname(file), `.${randomUUID()}.tmp`);
  if (!isDataset(dataset)) return { mended: false, refused: DROPPED };
  try {
    await io("make directory", dirname(file), () => makeDirectory(dirname(file)));
    await writeSound(blobs, plan.sound, temporary, signal);
    chmodSync(temporary, seen ? seen.mode & 0o777 : MODE);
    if (!isAsSeen(file, seen)) return { mended: false, refused: "it has changed while it was looked at" };
    const aside = seen && (await keep(database, file, plan.asideName));
    const isNamed = await io("heal", file, async () => {
      if (!seen) return nameNew(temporary, file);
      renameSync(temporary, file);
      return true;
    });
    if (!isNamed) return { mended: false, refused: "it has changed while it was looked at" };
    if (!isDataset(dataset)) {
      removeQuietly(file);
      return { mended: false, refused: DROPPED };
    }
    await syncDirectories([dirname(file), dirname(dirname(file))]);
    return { mended: true, aside };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof BackupError) return { mended: false, refused: error.message };
    throw error;
  } finally {
    removeQuietly(temporary);
    if (!isDataset(dataset)) removeEmpty(dirname(file), dataset);
  }
}

/** @throws CorruptError where the snapshot's copy is not what its digest says. */
async function writeSound(
  blobs: BlobStore,
  sound: FileToRead,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const hash = createHash("sha256");
  await io("write", path, async () => {
    const file = await open(path, "wx");
    takeOwner(path);
    try {
      for await (const stretch of blobs.read(sound, signal)) {
        hash.update(stretch);
        await file.writeFile(stretch);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  });
  if (hash.digest("hex") === sound.sha256) return;
  const place = blobs.placeOf(sound.pieces?.[0]?.blob ?? sound.sha256);
  throw new CorruptError(`The snapshot's own copy, ${place}, is damaged.`, { path: place });
}

function isAsSeen(file: string, seen: Stats | undefined): boolean {
  const now = statSync(file, { throwIfNoEntry: false });
  if (!now || !seen) return now === undefined && seen === undefined;
  return now.ino === seen.ino && now.size === seen.size && now.mtimeMs === seen.mtimeMs;
}

/** Gives the damaged file a second name, or where that cannot be a copy. */
async function keep(database: string, file: string, name: string): Promise<string> {
  const aside = join(ensurePrivateDirectory(database, "aside"), name);
  makeDirectory(dirname(aside));
  await io("keep", aside, () => {
    try {
      linkSync(file, aside);
    } catch (error) {
      if (isTaken(error) || isVanished(error)) throw error;
      copyFileSync(file, aside);
      takeOwner(aside);
    }
  });
  await syncFile(aside);
  await syncDirectories([dirname(aside)]);
  return aside;
}

/** What was made for a file in a table that has gone meanwhile: LanceDB would list it as a table. */
function removeEmpty(directory: string, dataset: string): void {
  try {
    rmdirSync(directory);
    if (directory !== dataset) removeEmpty(dirname(directory), dataset);
  } catch {
    return; // there is something in it
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    return; // it has its name already, or the first error is what matters
  }
}
