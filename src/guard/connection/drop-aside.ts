import { readlinkSync, symlinkSync, unlinkSync } from "node:fs";
import { rename, rmdir } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { syncDirectories } from "../../fs/durable.ts";
import { io, isMissing } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { moveDirectory } from "../../fs/move-directory.ts";
import { keepDroppedVersion } from "../../lance/dropped-versions.ts";
import { listManifests, VERSIONS } from "../../lance/image.ts";
import { ensurePrivateDirectory } from "../../lance/private-directory.ts";
import { linkTarget } from "../../lance/stubs.ts";

/** A link that is relative would lead elsewhere from there. */
async function moveAside(path: string, kept: string): Promise<void> {
  const target = linkTarget(path);
  if (target === undefined || isAbsolute(readlinkSync(path))) return moveDirectory(path, kept, VERSIONS);
  symlinkSync(target, kept, "junction");
  unlinkSync(path);
}

interface Dropped {
  readonly table: string;
  /** The table's, in the database. */
  readonly directory: string;
  /** Where it goes, below the database's own `aside/`. */
  readonly aside: string;
}

/**
 * Moves a table aside, and has LanceDB drop an empty directory in its place. Where that fails, the table is back:
 * what lies aside goes when the work has succeeded.
 */
export async function dropAside<R>(
  database: string,
  { table, directory, aside }: Dropped,
  drop: () => Promise<R>,
): Promise<R> {
  const path = join(database, directory);
  const kept = join(ensurePrivateDirectory(database, "aside"), aside);
  const parent = dirname(kept);
  makeDirectory(parent);
  await io("move aside", path, () => moveAside(path, kept));
  try {
    makeDirectory(path);
    await syncDirectories([parent, dirname(parent), dirname(dirname(parent))]);
    keepDroppedVersion(database, table, (await listManifests(kept))[0]?.version ?? 0);
    return await drop();
  } catch (error) {
    await io("move back", path, async () => {
      await rmdir(path).catch((reason: unknown) => {
        if (!isMissing(reason)) throw reason;
      });
      await rename(kept, path);
    });
    throw error;
  }
}
