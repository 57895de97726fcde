import { lstatSync } from "node:fs";
import { readdir, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { syncDirectories } from "../../fs/durable.ts";
import { io, reasonOf } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { moveDirectory } from "../../fs/move-directory.ts";
import { listManifests, VERSIONS } from "../../lance/image.ts";
import { ensurePrivateDirectory, privateDirectory, removeIfEmpty } from "../../lance/private-directory.ts";
import type { Logger } from "../../logger.ts";
import type { LoggedIntent } from "../journal/intent-log.ts";

/** A directory that was no table, and that guarded work has moved out of the way: somebody's, whatever is in it. */
export interface MovedStub {
  readonly table: string;
  /** Its name in the database. */
  readonly directory: string;
  /** Where it lies now, absolute. */
  readonly aside: string;
}

/** The first stub of each table that the work moved: later ones are its own. */
export function stubsOf(database: string, log: readonly LoggedIntent[]): MovedStub[] {
  const first = new Map<string, MovedStub>();
  const root = privateDirectory(database, "aside");
  for (const { intent } of log) {
    if (intent.step !== "stub" || first.has(intent.table)) continue;
    const aside = join(root, intent.aside);
    if (isThere(aside)) first.set(intent.table, { table: intent.table, directory: intent.directory, aside });
  }
  return [...first.values()];
}

/** LanceDB writes a table's data first and its manifest last: what was written to so lately may become a table yet. */
const UNDER_WAY_MS = 5 * 60_000;

/**
 * Whether somebody may be making a table in a directory that holds none.
 *
 * @param now by the clock of the file system, milliseconds since 1970
 */
export async function isUnderWay(path: string, now: number): Promise<boolean> {
  const names = await io("list", path, () => readdir(path, { recursive: true }));
  return ["", ...names].some((name) => {
    const found = lstatSync(join(path, name), { throwIfNoEntry: false });
    return found === undefined || found.mtimeMs > now - UNDER_WAY_MS; // what has gone since, somebody took away
  });
}

/**
 * Moves a stub out of the way; on the disk when it returns. Answers with where it lies; undefined where it has become a
 * table meanwhile, and is where it was.
 */
export async function moveStub(
  database: string,
  directory: string,
  aside: string,
): Promise<string | undefined> {
  const kept = join(ensurePrivateDirectory(database, "aside"), aside);
  makeDirectory(dirname(kept));
  const path = join(database, directory);
  await io("move aside", path, () => moveDirectory(path, kept, VERSIONS));
  const isTable = (await listManifests(kept)).length > 0;
  if (isTable) await io("move back", path, () => rename(kept, path));
  await syncDirectories([dirname(kept), dirname(dirname(kept)), database]);
  if (isTable) return undefined;
  return kept;
}

/** Gives stubs their places back, where nothing else has them by now: it stays aside then, and that is told. Never throws. */
export async function returnStubs(
  database: string,
  stubs: readonly MovedStub[],
  logger: Logger,
): Promise<void> {
  for (const { table, directory, aside } of stubs) {
    const path = join(database, directory);
    try {
      if (isThere(path) && !removeIfEmpty(path)) {
        const kept = await keepStub(database, aside);
        logger.warn("files that lay under a table's name are kept aside, since a table has the name now", {
          table,
          path: kept,
        });
        continue;
      }
      await io("put back", path, () => rename(aside, path));
      await syncDirectories([database, dirname(aside)]);
    } catch (error) {
      logger.warn("files that lay under a table's name could not be put back", {
        table,
        path: aside,
        error: reasonOf(error),
      });
    }
  }
}

/** Out of reach of what sweeps an entry's own directory. */
async function keepStub(database: string, aside: string): Promise<string> {
  const others = join(ensurePrivateDirectory(database, "aside"), "others");
  if (dirname(dirname(aside)) === others) return aside;
  const kept = join(others, basename(dirname(aside)), basename(aside));
  makeDirectory(dirname(kept));
  await io("keep", kept, () => rename(aside, kept));
  return kept;
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
