import { existsSync } from "node:fs";
import { join } from "node:path";
import { CorruptError } from "../../errors.ts";
import { type CommitKind, type CommitMark, canBe, commitKindOf } from "../../lance/commit-kind.ts";
import { listManifests, type Manifest, type ManifestName, readManifest } from "../../lance/manifest.ts";
import { privateDirectory } from "../../lance/private-directory.ts";
import { isRemade, type VersionIdentities } from "../../lance/put-back/table-state.ts";
import type { LoggedIntent, Outcome } from "../journal/intent-log.ts";

/** A commit that was announced, and of which nobody knows what came: its process died. */
interface OpenCommit {
  readonly kinds: readonly CommitKind[];
  readonly above: number;
  readonly several: boolean;
  readonly mark?: CommitMark | undefined;
  /** Whichever commit of these kinds up to this version nobody else reports. */
  readonly upTo?: number | undefined;
}

/** One life of a table, from its creation to its drop. */
export interface Incarnation {
  /** Versions that the guarded work committed. */
  readonly ours: Map<number, string | undefined>;
  readonly open: OpenCommit[];
  /** Where it was created by the guarded work. */
  directory?: string | undefined;
  /** The creation was announced and never reported: these directories were there before. */
  creating?: readonly string[] | undefined;
  /** The creation failed, and may have left a directory without a version; these were there before. */
  notCreated?: readonly string[] | undefined;
  /** Where it lies since the guarded work dropped it, absolute. */
  aside?: string | undefined;
}

/** What guarded work did to one table, from its log. The last incarnation is the one that is there now. */
export interface TableHistory {
  readonly incarnations: readonly Incarnation[];
  readonly tags: ReadonlySet<string>;
}

export function currentOf(history: TableHistory | undefined): Incarnation {
  return history?.incarnations.at(-1) ?? newIncarnation();
}

/** Folds a log into what happened to each table. */
export function foldLog(database: string, log: readonly LoggedIntent[]): Map<string, TableHistory> {
  const histories = new Map<string, { incarnations: Incarnation[]; tags: Set<string> }>();
  const asideRoot = privateDirectory(database, "aside");
  for (const { intent, outcome } of log) {
    let history = histories.get(intent.table);
    if (!history) {
      history = { incarnations: [newIncarnation()], tags: new Set() };
      histories.set(intent.table, history);
    }
    const current = history.incarnations.at(-1) ?? newIncarnation();
    switch (intent.step) {
      case "commit":
        if (!outcome) current.open.push(intent);
        addOurs(current, outcome);
        break;
      case "create":
        if (!outcome) current.creating = intent.existing;
        if (outcome?.failed) current.notCreated = intent.existing;
        if (outcome?.directory) current.directory = outcome.directory;
        addOurs(current, outcome);
        break;
      case "drop":
        // The rename is the drop; whether it happened is on the disk, not in the log.
        if (existsSync(join(asideRoot, intent.aside))) {
          current.aside = join(asideRoot, intent.aside);
          history.incarnations.push(newIncarnation());
        }
        break;
      case "stub":
        break; // it is on the disk where it was moved to
      case "namespace":
        break; // its entry alone tells what is to be done
      case "tag":
        // One that LanceDB refused is somebody else's still, or no name at all.
        if (!outcome?.failed && isTagName(intent.tag)) history.tags.add(intent.tag);
        break;
    }
  }
  return histories;
}

/** The namespaces that guarded work made or dropped, or was about to when its process died. */
export function namespacesOf(log: readonly LoggedIntent[]): Set<string> {
  const done = log.filter(({ outcome }) => !outcome?.failed);
  return new Set(done.flatMap(({ intent }) => (intent.step === "namespace" ? intent.namespace : [])));
}

/** Its file is one of the tags' directory, or below. */
function isTagName(tag: unknown): boolean {
  return typeof tag === "string" && !/(^|[/\\])\.\.?([/\\]|$)/.test(tag);
}

function addOurs({ ours }: Incarnation, outcome: Outcome | undefined): void {
  for (const [index, version] of (outcome?.versions ?? []).entries()) {
    ours.set(version, outcome?.digests?.[index]);
  }
}

function newIncarnation(): Incarnation {
  return { ours: new Map(), open: [] };
}

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
    else for (const { version } of fitting) doubtful.push(version);
  }
  const missing = incarnation.open.filter((one) => one.upTo !== undefined);
  const left = couldBe(missing, unreported).filter(({ version }) => !ours.has(version));
  if (left.length <= missing.length) for (const { version, digest } of left) ours.set(version, digest);
  else for (const { version } of left) doubtful.push(version);
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
