import { CorruptError } from "../../errors.ts";
import { type CommitKind, commitKindOf } from "../../lance/commit-kind.ts";
import { type CommitMark, canBe } from "../../lance/commit-mark.ts";
import { listManifests } from "../../lance/image.ts";
import type { Manifest } from "../../lance/manifest.ts";
import type { ManifestName } from "../../lance/manifest-name.ts";
import { readManifest } from "../../lance/put-back/state.ts";
import { isRemade, type VersionIdentities } from "../../lance/version-identity.ts";
import type { Incarnation } from "./work-history.ts";

/** Whose the versions of a dataset are, as far as the log of the guarded work tells. */
export interface OwnVersions {
  readonly ours: VersionIdentities;
  /** One of these is ours and another somebody else's, and nothing tells which. */
  readonly doubtful: readonly number[];
  /** Of `ours`, those that nobody reported: taken for ours by what they are, and when they came. */
  readonly assumed: readonly number[];
}

/**
 * The versions of a dataset that the guarded work made: those that it reported, and those that an intent
 * left open explains by kind, number and mark, if they were made while its process was alive. What remains open:
 * where a process dies inside an intent before its commit, and somebody else makes one commit of the same
 * kind and mark within the next `SLACK_MS`, that commit is taken for the intent's; so it is told as assumed. A
 * table that was made anew by others explains nothing.
 *
 * @param captured the version that was captured, if the table was there
 * @param lastSign when the process last gave a sign of life, milliseconds since 1970
 */
export async function ownVersions(
  dataset: string,
  incarnation: Incarnation,
  captured: { readonly version: number; readonly digest: string } | undefined,
  lastSign: number,
): Promise<OwnVersions> {
  const ours = new Map(incarnation.ours);
  const doubtful: number[] = [];
  if (incarnation.open.length === 0 && !incarnation.creating) return { ours, doubtful, assumed: [] };
  const known = new Map(ours);
  if (captured) known.set(captured.version, captured.digest);
  const manifests = await listManifests(dataset);
  if (isRemade(dataset, manifests, known)) return { ours, doubtful, assumed: [] };
  const unreported = commitsUntil(dataset, manifests, lastSign + SLACK_MS);
  for (const intent of incarnation.open.filter((one) => one.upTo === undefined)) {
    const fitting = unreported.filter(
      (commit) =>
        commit.version > intent.above &&
        !ours.has(commit.version) &&
        intent.kinds.includes(commit.kind) &&
        hasMark(dataset, manifests, commit, intent.mark),
    );
    if (intent.several || fitting.length === 1)
      for (const { version, digest } of fitting) ours.set(version, digest);
    else doubtful.push(...fitting.map(({ version }) => version));
  }
  const missing = incarnation.open.filter((one) => one.upTo !== undefined);
  const left = couldBe(missing, unreported).filter(({ version }) => !ours.has(version));
  if (left.length <= missing.length) for (const { version, digest } of left) ours.set(version, digest);
  else doubtful.push(...left.map(({ version }) => version));
  if (incarnation.creating) {
    for (const { version, digest } of unreported) if (version === CREATED) ours.set(version, digest);
  }
  const assumed = [...ours.keys()].filter((version) => !incarnation.ours.has(version));
  return { ours, doubtful: doubtful.filter((version) => !ours.has(version)), assumed };
}

/** The commits that are any of those of which other writes' results were reported (`reported-commits.ts`). */
function couldBe(missing: Incarnation["open"], commits: readonly Commit[]): Commit[] {
  const above = Math.min(...missing.map((intent) => intent.above));
  const upTo = Math.max(...missing.map((intent) => intent.upTo ?? 0));
  const kinds = new Set(missing.flatMap((intent) => intent.kinds));
  return commits.filter(({ version, kind }) => version > above && version <= upTo && kinds.has(kind));
}

function hasMark(
  dataset: string,
  manifests: readonly ManifestName[],
  { version, manifest }: Commit,
  mark: CommitMark | undefined,
): boolean {
  if (!mark) return true;
  const before = manifests.find((name) => name.version === version - 1);
  return canBe(mark, manifest, before && readManifest(dataset, before)?.manifest);
}

/** A creation is one commit. */
const CREATED = 1;

/** A sign of life comes every tenth of a second; a busy process may be late with one. */
const SLACK_MS = 400;

/** The versions above one that were made when the process can no longer have been alive, ascending. */
export async function madeAfterDeath(dataset: string, above: number, lastSign: number): Promise<number[]> {
  const names = (await listManifests(dataset)).filter(({ version }) => version > above);
  const later = names.filter((name) => {
    const found = tryManifest(dataset, name);
    return found !== undefined && found.timestamp > lastSign + SLACK_MS;
  });
  return later.map(({ version }) => version).sort((a, b) => a - b);
}

function tryManifest(dataset: string, name: ManifestName): Manifest | undefined {
  try {
    return readManifest(dataset, name)?.manifest;
  } catch (error) {
    if (error instanceof CorruptError) return undefined; // nobody's rows are in what cannot be read
    throw error;
  }
}

interface Commit {
  readonly version: number;
  readonly kind: CommitKind;
  readonly digest: string;
  readonly manifest: Manifest;
}

function commitsUntil(dataset: string, manifests: readonly ManifestName[], time: number): Commit[] {
  const commits: Commit[] = [];
  for (const name of manifests) {
    const found = readManifest(dataset, name);
    if (!found || found.manifest.timestamp > time) continue;
    const kind = commitKindOf(dataset, name);
    if (kind !== undefined) commits.push({ version: name.version, kind, ...found });
  }
  return commits;
}
