import { commitKindOf } from "../../lance/commit-kind.ts";
import { listManifests } from "../../lance/image.ts";
import type { Incarnation } from "./history.ts";

/**
 * The versions of a dataset that the guarded work made: those that it reported, and those that an intent
 * left open explains by kind and number. Where more commits fit an intent than it can have made, one of them
 * is somebody else's, and it cannot be told which: none is claimed.
 */
export async function ownVersions(dataset: string, incarnation: Incarnation): Promise<Set<number>> {
  const ours = new Set(incarnation.ours);
  if (incarnation.open.length === 0 && !incarnation.creating) return ours;
  const manifests = await listManifests(dataset);
  for (const intent of incarnation.open) {
    const fitting = manifests
      .filter((name) => name.version > intent.above && !ours.has(name.version))
      .filter((name) => {
        const kind = commitKindOf(dataset, name);
        return kind !== undefined && intent.kinds.includes(kind);
      });
    if (intent.several || fitting.length === 1) for (const name of fitting) ours.add(name.version);
  }
  if (incarnation.creating)
    for (const name of manifests) if (name.version <= CREATING_COMMITS) ours.add(name.version);
  return ours;
}

/** A creation is one commit, two in a namespace (empty, then the rows). */
const CREATING_COMMITS = 2;
