import { existsSync } from "node:fs";
import { CorruptError } from "../../errors.ts";
import { highestOf } from "../../util/extremes.ts";
import { listManifests, type Manifest, type ManifestName, readManifest } from "../manifest.ts";
import { sameContent } from "../same-content.ts";
import { linkTarget } from "../stubs.ts";
import {
  findManifest,
  inspectTable,
  isBornAfter,
  isKnown,
  type TableState,
  type VersionIdentities,
} from "./table-state.ts";

/** The image that a table is to equal again. */
export interface PutBackTarget {
  /** The table's id, for messages. */
  readonly table: string;
  /** Its dataset directory, absolute. */
  readonly dataset: string;
  readonly version: number;
  /** SHA-256 of the manifest of `version`. */
  readonly digest: string;
  /** Datasets that hold the version's files, and perhaps older versions; the first that has it serves. */
  readonly sources: readonly string[];
  /** Where the table was moved to when it was dropped, if it was: it comes back whole, branches and all. */
  readonly asideDataset?: string | undefined;
  /** The highest version number that is known to have been seen under this table's name. */
  readonly highestKnown: number;
  /** When the image was captured, milliseconds since 1970: bounds the numbers that cannot be known. */
  readonly capturedAt: number;
  /** An earlier attempt may have been cut off after the image was back, and before its number was high enough. */
  readonly again?: boolean | undefined;
  /** Where it lay, if its directory was a symbolic link. */
  readonly link?: string | undefined;
}

interface PutBackPolicy {
  /** Versions, of what lies there now, that are the caller's own and may be hidden. */
  readonly ours: VersionIdentities;
  /** The same for the table that lies aside, if one does. */
  readonly oursAside?: VersionIdentities | undefined;
  /** `overwrite`: hide foreign versions too; they stay reachable by number. */
  readonly onConflict: "fail" | "overwrite";
  /** The caller asked for just this image: go back also where nothing of what came later is known as ours. */
  readonly always: boolean;
}

/**
 * `keep`: nothing to undo. `restore`: commit the old version again. `relink`: another table has taken the
 * place, or cleanup took the version: link the files back first. `rebuild`: there is no table.
 * `conflict`: foreign versions would be hidden, and the policy says no.
 */
export type PutBackAction = "keep" | "restore" | "relink" | "rebuild" | "conflict";

/** What will be done to one table: a plain value, made without touching anything. */
export interface PutBackPlan {
  readonly action: PutBackAction;
  readonly target: PutBackTarget;
  /** Foreign versions that would be (`conflict`) or will be (otherwise) behind the new head. Ascending. */
  readonly foreign: readonly number[];
  /** Damaged manifests to be moved aside first. */
  readonly damaged: readonly ManifestName[];
  /** The newest readable version when the plan was made; 0 where there is none. */
  readonly newest: number;
  /** SHA-256 of its manifest: under the same number may stand another table by now. */
  readonly newestDigest: string | undefined;
  /** What the plan was made by, for another one where somebody commits first. */
  readonly policy: PutBackPolicy;
  /** The new head must have a number above this. */
  readonly floor: number;
  /** For `keep`: the table shows the image already; files of it that are missing come back. */
  readonly heal: boolean;
}

/** Decides how a table gets back to an image. Reads, never writes. */
export async function planPutBack(target: PutBackTarget, policy: PutBackPolicy): Promise<PutBackPlan> {
  const state = await inspectTable(target.dataset);
  const seen = [...state.manifests, ...state.damaged].map((name) => name.version);
  const floor = highestOf(Math.max(target.highestKnown, target.version), seen);
  const unseen = target.asideDataset ? 0 : highestUnseen(target);
  const newest = state.manifests[0]?.version ?? 0;
  // An attempt that was cut off has perhaps linked the image into another table's directory.
  const taken = target.again && !target.asideDataset && isBornAfter(target.dataset, target.capturedAt);
  const plan = (action: PutBackAction, foreign: number[] = []): PutBackPlan => ({
    action: foreign.length > 0 && policy.onConflict === "fail" ? "conflict" : action,
    target,
    foreign: foreign.sort((a, b) => a - b),
    damaged: state.damaged,
    floor: action === "rebuild" || action === "relink" || taken ? Math.max(floor, unseen) : floor,
    newest,
    newestDigest: state.headDigest,
    policy,
    heal: false,
  });
  if (seen.length === 0) {
    const foreign = await foreignAside(target, policy);
    // Through a link to another disk the files go to where they were, and nothing takes the link's place.
    return plan(isLinkedThere(target.dataset) ? "relink" : "rebuild", foreign);
  }
  const image = await findManifest(target.dataset, target.version, target.digest, state.manifests);
  const notOurs = (versions: number[]) => {
    const suspects = strangers(target.dataset, state.manifests, policy.ours, versions);
    if (policy.onConflict === "overwrite" || suspects.length === 0) return suspects;
    const harmless = withoutChange(target, state, suspects, image);
    return suspects.filter((version) => !harmless.has(version));
  };
  const readable = state.manifests.map((name) => name.version);
  const above = readable.filter((version) => version > target.version);
  // By what was done, not by what is left of it: a cleanup may have taken our versions' manifests.
  const mine = [...policy.ours.keys()].some((version) => version > target.version);
  if (image) {
    const foreign = notOurs(above);
    const wanted = readManifest(target.dataset, image)?.manifest;
    const alreadyBack = state.head && wanted && sameContent(state.head, wanted);
    const mayHide = policy.onConflict === "overwrite" || foreign.length === 0;
    const isHigh = newest >= target.highestKnown && !(taken && newest <= target.version + LEAST_JUMP);
    if (alreadyBack && mayHide) return isHigh ? { ...plan("keep"), heal: true } : plan("restore", foreign);
    return policy.always || mine ? plan("restore", foreign) : plan("keep");
  }
  // The version is not there. It may be damaged itself. Where only newer ones are, a cleanup took it.
  // Otherwise this is another table under the same name, and all of it counts.
  if (state.damaged.some((name) => name.version === target.version)) return { ...plan("relink"), floor };
  const cleaned = !target.asideDataset && above.length > 0 && !readable.includes(target.version);
  if (cleaned && !mine && !policy.always) return plan("keep");
  // In a directory that was removed and made anew, by a handle that did not know, numbers were seen that are gone.
  const another = cleaned && isBornAfter(target.dataset, target.capturedAt);
  if (cleaned && !another) return { ...plan("relink", notOurs(above)), floor };
  return plan("relink", notOurs(readable));
}

/** @throws CorruptError where a table's directory is a symbolic link to nothing: a disk that is not mounted, mostly. */
function isLinkedThere(dataset: string): boolean {
  const there = linkTarget(dataset);
  if (there === undefined || existsSync(dataset)) return there !== undefined;
  throw new CorruptError(
    `${dataset} is a symbolic link to ${there}, which does not exist. Is its disk mounted? If the table is to be in the database's own directory, remove the link.`,
    { path: dataset },
  );
}

/** Commits of one table that can happen in a millisecond, rounded up: one takes 0.7 ms at least. */
const COMMITS_PER_MS = 2;
const LEAST_JUMP = 1000;

/**
 * A table that was removed behind our back has taken its highest version number with it, and a handle that
 * has seen it would write over ours as if nothing had happened. Time bounds how high it can have been.
 */
function highestUnseen(target: PutBackTarget): number {
  const elapsed = Math.max(0, Date.now() - target.capturedAt);
  return target.version + Math.max(LEAST_JUMP, Math.ceil(elapsed * COMMITS_PER_MS));
}

/**
 * Foreign versions whose hiding hides nothing: they hold what the version before them holds, or what the
 * target holds. So are the no-ops and the restore of a rollback that was itself cut off.
 */
function withoutChange(
  target: PutBackTarget,
  state: TableState,
  suspects: readonly number[],
  image: ManifestName | undefined,
): Set<number> {
  const read = (version: number) => {
    const name = state.manifests.find((entry) => entry.version === version);
    return name && tryRead(target.dataset, name);
  };
  const wanted = image && tryRead(target.dataset, image);
  const isHarmless = (version: number) => {
    const now = read(version);
    const before = read(version - 1);
    return now && ((before && sameContent(now, before)) || (wanted && sameContent(now, wanted)));
  };
  return new Set(suspects.filter(isHarmless));
}

function tryRead(dataset: string, name: ManifestName): Manifest | undefined {
  try {
    return readManifest(dataset, name)?.manifest;
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}

/** Of these versions on the disk, those that are not among the known ones. */
function strangers(
  dataset: string,
  manifests: readonly ManifestName[],
  known: VersionIdentities,
  versions: readonly number[],
): number[] {
  const asked = new Set(versions);
  return manifests
    .filter((name) => asked.has(name.version) && !isKnown(dataset, name, known))
    .map((name) => name.version);
}

/**
 * Commits of others in the table that was dropped: putting the old version back would hide them too. Where
 * it had been made anew before, all of it counts.
 */
async function foreignAside(target: PutBackTarget, policy: PutBackPolicy): Promise<number[]> {
  const { asideDataset: aside, version, digest } = target;
  if (!aside) return [];
  const { manifests } = await inspectTable(aside);
  const readable = manifests.map((name) => name.version);
  const above = readable.filter((number) => number > version);
  const remade =
    !(await findManifest(aside, version, digest, manifests)) &&
    (readable.includes(version) || above.length === 0);
  return strangers(aside, manifests, policy.oursAside ?? new Map(), remade ? readable : above);
}

/**
 * Whether a table has come to hold what the image holds since `before` was its newest version, and has not been
 * set back to what it held before.
 */
export async function hasShown(
  target: PutBackTarget,
  before: { readonly version: number; readonly digest: string },
): Promise<boolean> {
  const { dataset, version, digest, sources } = target;
  const wanted = await contentOf([dataset, ...sources], version, digest);
  if (!wanted) return false;
  const old = await contentOf([dataset], before.version, before.digest);
  for (const name of await listManifests(dataset)) {
    if (name.version < before.version) break; // newest first
    try {
      const found = readManifest(dataset, name)?.manifest;
      if (found && sameContent(found, wanted)) return true;
      if (found && old && sameContent(found, old)) return false;
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
    }
  }
  return false;
}

async function contentOf(
  places: readonly string[],
  version: number,
  digest: string,
): Promise<Manifest | undefined> {
  for (const place of places) {
    const name = await findManifest(place, version, digest);
    const found = name && readManifest(place, name);
    if (found) return found.manifest;
  }
  return undefined;
}
