import { existsSync } from "node:fs";
import { join } from "node:path";
import { CorruptError, LanceError } from "../../errors.ts";
import { isMissing } from "../../fs/io.ts";
import { droppedVersion } from "../../lance/dropped-versions.ts";
import { ImageReader, listManifests } from "../../lance/image.ts";
import type { ManifestName } from "../../lance/manifest-name.ts";
import { commitRestore } from "../../lance/put-back/commit-restore.ts";
import type { Operation } from "../operation.ts";

/** How often others may commit to a table that has just been made, before we give up. */
const MOST_ATTEMPTS = 100;

/**
 * The highest version number that handles may have seen of a table that had the name of one that is to be made; 0 where
 * none had it, as far as we know.
 */
export function highestSeen(operation: Operation, table: string): number {
  const before = operation.captured(table);
  const dropped = droppedVersion(operation.database, table);
  return Math.max(before?.state === "present" ? before.version : 0, dropped);
}

/**
 * Lifts a table that the work has just made above every version that was dropped under its name, by a restore of its own
 * newest version (docs/protocol.md, *The jump*): a write by a handle from before then fails, and breaks nothing.
 */
export async function liftAbove(operation: Operation, table: string, floor: number): Promise<void> {
  const directory = await operation.directoryOf(table);
  if (directory === undefined) return;
  const dataset = join(operation.database, directory);
  await operation.write({
    table,
    intent: async () => ({
      step: "commit",
      table,
      kinds: ["restore"],
      above: await operation.headOf(table),
      several: true,
    }),
    run: () => lift(operation, dataset, floor),
    outcome: (versions) => ({ versions }),
  });
}

/**
 * The newest version whose files are all there: a handle from before may have been quick enough to commit to the new
 * table, on top of files that went with the old one.
 */
async function newestWhole(
  dataset: string,
  manifests: readonly ManifestName[],
): Promise<ManifestName | undefined> {
  for (const manifest of manifests) {
    try {
      const { files } = await new ImageReader(dataset).read(manifest);
      if (files.every(({ path, index }) => index || existsSync(join(dataset, path)))) return manifest;
    } catch (error) {
      if (!(error instanceof CorruptError) && !isMissing(error)) throw error;
    }
  }
  return undefined;
}

/** Answers with the versions that it committed. */
async function lift({ lancedb, database }: Operation, dataset: string, floor: number): Promise<number[]> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const manifests = await listManifests(dataset);
    const manifest = await newestWhole(dataset, manifests);
    const head = manifests[0]?.version ?? 0;
    if (!manifest || (manifest.version > floor && manifest.version === head)) return [];
    const request = { dataset, wanted: { dataset, manifest }, head, floor };
    const commit = await commitRestore(lancedb, database, request);
    if (commit) return [...new Set([head + 1, commit.version])];
  }
  throw new LanceError(`${dataset} is committed to without pause; its version could not be lifted.`);
}
