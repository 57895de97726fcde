import { rename, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { syncDirectories } from "../../fs/durable.ts";
import { io, isMissing } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { ensurePrivateDirectory } from "../../lance/private-directory.ts";

/**
 * Moves a table aside, and has LanceDB drop an empty directory in its place. Where that fails, the table is back:
 * what lies aside goes when the work has succeeded.
 *
 * @param directory the table's, in the database
 * @param aside where it goes, below the database's own `aside/`
 */
export async function dropAside<R>(
  database: string,
  directory: string,
  aside: string,
  drop: () => Promise<R>,
): Promise<R> {
  const path = join(database, directory);
  const kept = join(ensurePrivateDirectory(database, "aside"), aside);
  const parent = dirname(kept);
  makeDirectory(parent);
  await io("move aside", path, () => rename(path, kept));
  try {
    makeDirectory(path);
    await syncDirectories([parent, dirname(parent), dirname(dirname(parent))]);
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
