import { randomUUID } from "node:crypto";
import { existsSync, lstatSync, statSync } from "node:fs";
import { readdir, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { listNames, makeDirectory } from "../../fs/directory-tree.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { io, reasonOf } from "../../fs/io.ts";
import { finishMoves, moveDirectory } from "../../fs/move-directory.ts";
import { isConflictCopy } from "../../fs/safe-names.ts";
import { ImageReader } from "../../lance/image.ts";
import { listManifests, manifestPath, VERSIONS } from "../../lance/manifest.ts";
import { ensurePrivateDirectory, privateDirectory, removeIfEmpty } from "../../lance/private-directory.ts";
import { isKnown, type VersionIdentities } from "../../lance/put-back/table-state.ts";
import type { Logger } from "../../logger.ts";
import type { LoggedIntent } from "../journal/intent-log.ts";

/** Whose tables are taken away, and where to. */
export interface Taking {
  readonly database: string;
  /** The directory below `aside/`, which goes with the entry of this id. */
  readonly asideName: string;
  /** The entry that has them taken away: the same, or a restore's. */
  readonly by: string;
}

/** Renames a table's directory away, on the disk when it returns; answers with where it lies. */
export async function takeDirectory({ database, asideName, by }: Taking, directory: string): Promise<string> {
  const path = join(database, directory);
  const aside = join(ensurePrivateDirectory(database, "aside"), asideName, `${madeBy(by)}${randomUUID()}`);
  makeDirectory(aside);
  const taken = join(aside, directory);
  await io("take away", path, () => moveDirectory(path, taken, VERSIONS));
  await syncDirectories([database, aside, dirname(aside)]);
  return taken;
}

/** The files that these versions name, their manifests first: what has no manifest is no version any more. */
export async function filesOfVersions(dataset: string, versions: VersionIdentities): Promise<string[]> {
  const manifests = (await listManifests(dataset)).filter((name) => isKnown(dataset, name, versions));
  const files = new Set(manifests.map(({ name }) => manifestPath(name)));
  const reader = new ImageReader(dataset);
  for (const manifest of manifests) {
    const { files: named, parsed } = await reader.read(manifest);
    for (const { path } of named) files.add(path);
    const { transactionFile } = parsed.message;
    if (transactionFile) files.add(`_transactions/${transactionFile}`);
  }
  return [...files];
}

/** Renames files of a table's directory away, in this order; answers with what puts them back. */
export async function takeFiles(
  { database, asideName, by }: Taking,
  directory: string,
  files: readonly string[],
): Promise<() => Promise<void>> {
  const room = join(ensurePrivateDirectory(database, "aside"), asideName, `${madeBy(by)}${randomUUID()}`);
  const moved: { from: string; to: string }[] = [];
  for (const file of files) {
    const [from, to] = [join(database, directory, file), join(room, directory, file)];
    if (!existsSync(from)) continue;
    makeDirectory(dirname(to));
    await io("take away", from, () => rename(from, to));
    moved.push({ from, to });
  }
  await syncDirectories([...new Set(moved.flatMap(({ from, to }) => [dirname(from), dirname(to)]))]);
  return async () => {
    for (const { from, to } of moved.reverse()) await io("put back", from, () => rename(to, from));
  };
}

/** Renames away a table that is a symbolic link: on its own disk. The link stays, to an empty directory. */
export async function takeLinked(real: string): Promise<string> {
  const taken = `${real}.taken-${randomUUID()}`;
  await io("take away", real, () => moveDirectory(real, taken, VERSIONS));
  makeDirectory(real);
  await syncDirectories([dirname(real)]);
  return taken;
}

/**
 * Rolls back what was taken away by somebody who died before he came to its end: whether others have written to it was
 * perhaps not looked at yet. Where another table has the name by now, it is kept for ever.
 */
export async function rollBackTaken(taking: Taking): Promise<void> {
  const { database, asideName, by } = taking;
  const aside = join(privateDirectory(database, "aside"), asideName);
  await finishMoves(aside);
  const rooms = listNames(aside).filter((name) => name.startsWith(madeBy(by)));
  for (const room of rooms.map((name) => join(aside, name))) {
    for (const directory of tablesIn(room)) {
      const [taken, path] = [join(room, directory), join(database, directory)];
      if (existsSync(path)) await keepTaken(taking, taken, directory);
      else await io("put back", path, () => rename(taken, path));
      await syncDirectories([database, room]);
    }
  }
}

function tablesIn(room: string): string[] {
  return listNames(room).filter(
    (name) => !isConflictCopy(name) && statSync(join(room, name), { throwIfNoEntry: false })?.isDirectory(),
  );
}

const madeBy = (entry: string) => `created-${entry}.`;

/** What lies here stays until somebody removes it by hand: LanceDB opens it as a table of its own. */
export async function keepTaken(
  { database, asideName }: Taking,
  taken: string,
  directory: string,
): Promise<string> {
  const others = join(ensurePrivateDirectory(database, "aside"), "others", `${asideName}-${randomUUID()}`);
  makeDirectory(others);
  const kept = join(others, directory);
  await io("keep", kept, () => rename(taken, kept));
  await syncDirectories([others, dirname(others), dirname(dirname(others)), dirname(taken)]);
  return kept;
}

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
export async function rollBackStubs(
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

/** Out of reach of what removes an entry's own directory. */
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
