import { randomInt, randomUUID } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listNames } from "../fs/directory-tree.ts";
import { isMissing, toIoError } from "../fs/io.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { rootDirectory } from "./database.ts";
import { ensurePrivateDirectory, privateDirectory } from "./private-directory.ts";

/** Nobody is thought to hold a handle on a dropped table for longer. */
const FORGOTTEN_MS = 30 * 86_400_000;

/** Numbers that are looked at whenever one is kept: more than one, so that they cannot pile up. */
const LOOKED_AT = 4;

/**
 * Keeps the highest version that a root table had when it was dropped: a handle from before that finds a lower one
 * under its name "succeeds" with a write that makes the new table unreadable. (A table in a namespace gets another
 * directory.) One small file a name, which is not synced: a power cut takes the handles too. To be called with the
 * table locked.
 */
export function keepDroppedVersion(database: string, table: string, version: number): void {
  if (rootDirectory(table) === undefined || version <= droppedVersion(database, table)) return;
  const directory = ensurePrivateDirectory(database, "dropped");
  const temporary = join(directory, `.${randomUUID()}.tmp`);
  try {
    writeFileSync(temporary, String(version));
    takeOwner(temporary);
    renameSync(temporary, join(directory, table));
  } catch (error) {
    throw toIoError(error, "write", join(directory, table));
  }
  forgetSome(database);
}

/** The highest version that is known to have been dropped under this name; 0 where none is. */
export function droppedVersion(database: string, table: string): number {
  const path = join(privateDirectory(database, "dropped"), table);
  try {
    const version = Number(readFileSync(path, "latin1"));
    return Number.isSafeInteger(version) && version > 0 ? version : 0;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw toIoError(error, "read", path);
  }
}

function forgetSome(database: string): void {
  const directory = privateDirectory(database, "dropped");
  const names = listNames(directory);
  for (let look = 0; look < Math.min(LOOKED_AT, names.length); look++) {
    const name = names[randomInt(names.length)] as string;
    const keptAt = statSync(join(directory, name), { throwIfNoEntry: false })?.mtimeMs;
    const isOld = keptAt !== undefined && Date.now() - keptAt > FORGOTTEN_MS;
    if (isOld && !existsSync(join(database, `${name}.lance`))) rmSync(join(directory, name), { force: true });
  }
}
