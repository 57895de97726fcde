import { CorruptError } from "../errors.ts";
import { highestOf } from "../util/extremes.ts";
import { readManifest } from "./manifest.ts";
import { putBack } from "./put-back/put-back.ts";
import { inspectTable } from "./put-back/table-state.ts";
import type { LanceDB } from "./which-lancedb.ts";

/** What was done about a table whose newest manifest was damaged. */
export interface HealedHead {
  /** Versions whose manifests were cut short or empty; they lie in `aside/manifests/`. */
  readonly damaged: readonly number[];
  /** The newest whole version, which the table shows now. */
  readonly openedAt: number;
}

/**
 * A newest manifest of zero bytes or cut short, which a power cut leaves, makes a table unopenable: LanceDB
 * has no fall-back. Moves such manifests aside, so that the table opens at its newest whole version, under
 * a number above theirs. Undefined where nothing was wrong.
 *
 * @throws CorruptError where no whole version is left.
 */
export async function healDamagedHead(
  lancedb: LanceDB,
  database: string,
  dataset: string,
): Promise<HealedHead | undefined> {
  const { damaged, manifests } = await inspectTable(dataset);
  if (damaged.length === 0) return undefined;
  const newest = manifests[0];
  const found = newest && readManifest(dataset, newest);
  if (!newest || !found) {
    throw new CorruptError(`No version of the table at ${dataset} has a whole manifest.`, { path: dataset });
  }
  const versions = damaged.map((name) => name.version);
  await putBack(lancedb, database, {
    action: "keep",
    target: {
      table: dataset,
      dataset,
      version: newest.version,
      digest: found.digest,
      sources: [],
      highestKnown: newest.version,
      capturedAt: Date.now(),
    },
    foreign: [],
    damaged,
    heal: false,
    newest: newest.version,
    newestDigest: found.digest,
    policy: { ours: new Map(), onConflict: "fail", always: false },
    floor: highestOf(newest.version, versions),
  });
  return { damaged: versions, openedAt: newest.version };
}
