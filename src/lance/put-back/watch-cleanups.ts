import { statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CorruptError } from "../../errors.ts";
import { type CommitKind, commitKindOf } from "../commit-kind.ts";
import { listManifests, type ManifestName, manifestPath } from "../manifest.ts";
import { isKnown, type VersionIdentities } from "./table-state.ts";

/** A cleanup that was seen counts as ended when nothing was missing so many times. */
const QUIET_LOOKS = 5;
const PAUSE_MS = 20;

/** LanceDB's `optimize` compacts and then cleans up: so long after a compaction it may still be at it. */
const CLEANUP_MS = 2_000;
const COMPACTION: ReadonlySet<CommitKind | undefined> = new Set<CommitKind>(["rewrite", "reserveFragments"]);

/** Manifests that are looked at for a compaction, the newest. */
const MOST_LOOKED_AT = 20;

/**
 * Until when somebody else's cleanup may take files that only old versions had: it has decided which before it began,
 * and does not know of a version that has come since. Milliseconds since 1970; 0 where no compaction of others is young.
 */
export async function cleanupMayLastUntil(dataset: string, ours: VersionIdentities): Promise<number> {
  const newest = (await listManifests(dataset)).slice(0, MOST_LOOKED_AT);
  for (const name of newest) {
    const path = join(dataset, manifestPath(name.name));
    const madeAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Date.now() - madeAt > CLEANUP_MS) return 0; // and so are those before it
    if (isCompaction(dataset, name) && !isKnown(dataset, name, ours)) return madeAt + CLEANUP_MS;
  }
  return 0;
}

function isCompaction(dataset: string, name: ManifestName): boolean {
  try {
    return COMPACTION.has(commitKindOf(dataset, name));
  } catch (error) {
    if (error instanceof CorruptError) return false; // it cannot be told
    throw error;
  }
}

/**
 * Heals what a cleanup takes, until none is at work.
 *
 * @param heal puts back what is missing; answers with how many files that were.
 * @param until as `cleanupMayLastUntil` told before the version was committed.
 * @param othersAtWork whether somebody was seen to commit beside us.
 */
export async function healUntilQuiet(
  heal: () => Promise<number>,
  until: number,
  othersAtWork: boolean,
): Promise<void> {
  const healed = await heal();
  let quiet = healed > 0 || othersAtWork ? 0 : QUIET_LOOKS;
  for (; quiet < QUIET_LOOKS || Date.now() < until; quiet++) {
    await sleep(PAUSE_MS);
    if ((await heal()) > 0) quiet = -1;
  }
}
