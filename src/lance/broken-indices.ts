import { readdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { LanceError } from "../errors.ts";
import { syncDirectory, syncFile } from "../fs/durable.ts";
import { reasonOf } from "../fs/io.ts";
import { PIN_ORDER, Placer } from "../fs/placer.ts";
import { Door } from "./door.ts";
import { type IndexPlace, placeOf } from "./fragment-files.ts";
import { ImageReader, type VersionImage } from "./image.ts";
import { listManifests, manifestPath, VERSIONS } from "./manifest.ts";
import { makeStagingDirectory, removeStagingDirectory } from "./private-directory.ts";
import type { LanceDB } from "./which-lancedb.ts";

/** An index of which not all is there: whatever uses it fails, though every row is. */
interface BrokenIndex extends IndexPlace {
  /** What is wrong, after its name: `_indices/<uuid>/x is missing`. */
  readonly why: string;
}

/** Indices of LanceDB's own are kept in the manifest itself, and may have no directory. */
const OF_LANCE = "__";

/** The indices of a version of which a file is missing or has another size, each once. */
export function brokenIndices(dataset: string, image: Pick<VersionImage, "files" | "parsed">): BrokenIndex[] {
  const broken = new Map<string, BrokenIndex>();
  for (const { path, size, index } of image.files) {
    if (!index || broken.has(index.directory)) continue;
    const found = statSync(join(dataset, path), { throwIfNoEntry: false })?.size;
    if (found === undefined) broken.set(index.directory, { ...index, why: `${path} is missing` });
    else if (size !== undefined && found !== size) {
      broken.set(index.directory, { ...index, why: sizesDiffer(path, found, size) });
    }
  }
  for (const index of indicesWithoutList(image)) {
    if (!statSync(join(dataset, index.directory), { throwIfNoEntry: false })) {
      broken.set(index.directory, { ...index, why: `${index.directory} is missing` });
    }
  }
  return [...broken.values()];
}

/** The same of the newest version. */
async function brokenIndicesOf(dataset: string): Promise<BrokenIndex[]> {
  const [newest] = await listManifests(dataset);
  return newest ? brokenIndices(dataset, await new ImageReader(dataset).read(newest)) : [];
}

/** Indices whose files no manifest names: all in their directory are theirs. */
export function indicesWithoutList({ parsed }: Pick<VersionImage, "parsed">): IndexPlace[] {
  return parsed.indices
    .filter(({ files, name }) => files.length === 0 && !name.startsWith(OF_LANCE))
    .map(placeOf);
}

export function sizesDiffer(path: string, found: number, said: number): string {
  return `${path} has ${found} bytes where the manifest says ${said}`;
}

/** How an index that is not in a backup is told. */
export function leftOutIndex({ name, why }: Pick<BrokenIndex, "name" | "why">): string {
  return `${prefixOf(name)} ${why}. Its rows are there; create it again: dropIndex, then createIndex`;
}

/** Whether a backup says that it has not this index, whole. */
export function isLeftOut(leftOut: readonly string[], { name }: IndexPlace): boolean {
  return leftOut.some((what) => what.startsWith(prefixOf(name)));
}

/** Whether a backup says that it has not every index, whole. */
export function saysIndices(leftOut: readonly string[]): boolean {
  return leftOut.some((what) => what.startsWith(PREFIX));
}

const PREFIX = "index ";

function prefixOf(name: string): string {
  return `${PREFIX}${name}:`;
}

const TRANSACTIONS = "_transactions";

/**
 * Drops the indices of a dataset's newest version of which not all files are there, as LanceDB does: by a commit. So
 * everything that would have used them works again, more slowly. On the disk when it returns.
 *
 * @param scratch a directory for what is needed meanwhile
 * @returns the newest version now, and the names of the indices
 */
export async function dropBrokenIndices(
  lancedb: LanceDB,
  scratch: string,
  dataset: string,
): Promise<{ readonly version: number; readonly dropped: readonly string[] }> {
  const dropped = [...new Set((await brokenIndicesOf(dataset)).map(({ name }) => name))];
  if (dropped.length > 0) {
    try {
      using door = await Door.open(lancedb, scratch, dataset);
      for (const name of dropped) await door.table.dropIndex(name);
    } catch (error) {
      throw new LanceError(`LanceDB could not drop the broken index of ${dataset}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
  const [newest] = await listManifests(dataset);
  if (newest && dropped.length > 0) {
    await syncFile(join(dataset, manifestPath(newest.name)));
    await syncDirectory(join(dataset, VERSIONS));
  }
  return { version: newest?.version ?? 0, dropped };
}

/** A handle for reading the newest version of a dataset, which uses no index of which files are missing. */
export async function openWithoutBroken(
  lancedb: LanceDB,
  database: string,
  dataset: string,
): Promise<Pick<Door, "table"> & Disposable> {
  const broken = await brokenIndicesOf(dataset);
  if (broken.length === 0) return Door.open(lancedb, database, dataset);
  const shadow = makeStagingDirectory(database, "table");
  try {
    const placer = new Placer(PIN_ORDER);
    const [newest] = await listManifests(dataset);
    if (newest) await placer.place(dataset, shadow, manifestPath(newest.name));
    for (const name of readdirSync(dataset)) {
      // Through a link the drop would write into the live table.
      if (name !== VERSIONS && name !== TRANSACTIONS)
        symlinkSync(join(dataset, name), join(shadow, name), "junction");
    }
    await dropBrokenIndices(lancedb, database, shadow);
    const door = await Door.open(lancedb, database, shadow);
    return {
      table: door.table,
      [Symbol.dispose]() {
        door[Symbol.dispose]();
        removeStagingDirectory(shadow);
      },
    };
  } catch (error) {
    removeStagingDirectory(shadow);
    throw error;
  }
}
