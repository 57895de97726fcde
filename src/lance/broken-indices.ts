import { statSync } from "node:fs";
import { join } from "node:path";
import { ImageReader, type IndexPlace, listManifests, placeOf, type VersionImage } from "./image.ts";

/** An index of which not all is there: whatever uses it fails, though every row is. */
export interface BrokenIndex extends IndexPlace {
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
export async function brokenIndicesOf(dataset: string): Promise<BrokenIndex[]> {
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
  return `${prefixOf(name)} ${why}. Its rows are there; make it anew: dropIndex, then createIndex`;
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
