import { readlinkSync, symlinkSync, unlinkSync } from "node:fs";
import { rename, rmdir } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { IoError } from "../../errors.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { errnoOf, io, isMissing, reasonOf } from "../../fs/io.ts";
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
 *
 * @param onStuck told where the table could not be moved back: then the work may not succeed.
 */
export async function dropAside<R>(
  database: string,
  { table, directory, aside }: Dropped,
  drop: () => Promise<R>,
  onStuck: (error: IoError) => void,
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
    try {
      await rmdir(path).catch((reason: unknown) => {
        if (!isMissing(reason)) throw reason;
      });
      await rename(kept, path);
    } catch (cause) {
      const stuck = new IoError(
        `The drop of table ${table} failed (${reasonOf(error)}), and it could not be moved back from ${kept} to ${path} (${reasonOf(cause)}): the guarded work goes back as a whole.`,
        { path, errno: errnoOf(cause), cause },
      );
      onStuck(stuck);
      throw stuck;
    }
    throw error;
  }
}
