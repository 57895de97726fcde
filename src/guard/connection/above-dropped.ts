import { join } from "node:path";
import { LanceError } from "../../errors.ts";
import { droppedVersion } from "../../lance/dropped-versions.ts";
import { listManifests } from "../../lance/image.ts";
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

/** Answers with the versions that it committed. */
async function lift({ lancedb, database }: Operation, dataset: string, floor: number): Promise<number[]> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const [manifest] = await listManifests(dataset);
    if (!manifest || manifest.version > floor) return [];
    const head = manifest.version;
    const request = { dataset, wanted: { dataset, manifest }, head, floor };
    const commit = await commitRestore(lancedb, database, request);
    if (commit) return [...new Set([head + 1, commit.version])];
  }
  throw new LanceError(`${dataset} is committed to without pause; its version could not be lifted.`);
}
