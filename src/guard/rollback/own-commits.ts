import { type CommitKind, commitKindOf } from "../../lance/commit-kind.ts";
import { listManifests } from "../../lance/image.ts";
import { readManifest } from "../../lance/put-back/state.ts";
import type { Incarnation } from "./history.ts";

/** Whose the versions of a dataset are, as far as the log of the guarded work tells. */
export interface OwnVersions {
  readonly ours: ReadonlySet<number>;
  /** One of these is ours and another somebody else's, and nothing tells which. */
  readonly doubtful: readonly number[];
}

/**
 * The versions of a dataset that the guarded work made: those that it reported, and those that an intent
 * left open explains by kind and number, if they were made while its process was alive. What remains open:
 * where a process dies inside an intent before its commit, and somebody else makes one commit of the same
 * kind within the next `SLACK_MS`, that commit is taken for the intent's.
 *
 * @param lastSign when the process last gave a sign of life, milliseconds since 1970
 */
export async function ownVersions(
  dataset: string,
  incarnation: Incarnation,
  lastSign: number,
): Promise<OwnVersions> {
  const ours = new Set(incarnation.ours);
  const doubtful: number[] = [];
  if (incarnation.open.length === 0 && !incarnation.creating) return { ours, doubtful };
  const unreported = await commitsUntil(dataset, lastSign + SLACK_MS);
  for (const intent of incarnation.open) {
    const fitting = unreported
      .filter(
        ({ version, kind }) => version > intent.above && !ours.has(version) && intent.kinds.includes(kind),
      )
      .map(({ version }) => version);
    if (intent.several || fitting.length === 1) for (const version of fitting) ours.add(version);
    else doubtful.push(...fitting);
  }
  if (incarnation.creating) {
    for (const { version } of unreported) if (version <= CREATING_COMMITS) ours.add(version);
  }
  return { ours, doubtful: doubtful.filter((version) => !ours.has(version)) };
}

/** A creation is one commit, two in a namespace (empty, then the rows). */
const CREATING_COMMITS = 2;

/** A sign of life comes every tenth of a second; a busy process may be late with one. */
const SLACK_MS = 400;

async function commitsUntil(dataset: string, time: number): Promise<{ version: number; kind: CommitKind }[]> {
  const commits: { version: number; kind: CommitKind }[] = [];
  for (const name of await listManifests(dataset)) {
    const manifest = readManifest(dataset, name)?.manifest;
    if (!manifest || manifest.timestamp > time) continue;
    const kind = commitKindOf(dataset, name);
    if (kind !== undefined) commits.push({ version: name.version, kind });
  }
  return commits;
}
