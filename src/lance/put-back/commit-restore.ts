import { existsSync, readdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { BackupError, CorruptError, LanceError } from "../../errors.ts";
import { createFileExclusively, syncDirectory, syncIfThere } from "../../fs/durable.ts";
import { errnoOf, io, reasonOf, toIoError } from "../../fs/io.ts";
import { PIN_ORDER, Placer } from "../../fs/placer.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import { Door } from "../door.ts";
import { FragmentFiles, hasTrueCounts, isCounted, placeOf } from "../fragment-files.ts";
import {
  listManifests,
  type ManifestName,
  manifestName,
  manifestPath,
  parseManifest,
  parseManifestName,
  readManifest,
  renumberManifest,
  VERSIONS,
} from "../manifest.ts";
import { makeStagingDirectory, removeStagingDirectory } from "../private-directory.ts";
import { sameContent } from "../same-content.ts";
import { listFiles } from "../table-directory.ts";
import type { LanceDB } from "../which-lancedb.ts";

/** Where LanceDB notes the newest version's number; it may be absent. */
const VERSION_HINT = "latest_version_hint.json";

/**
 * Two commits and a cleanup take longer. Where less has passed since a number was seen to be the highest, whoever is
 * above the next one has gone on from what we linked there; otherwise it may have been used, and cleaned up.
 */
const OVERTAKEN_MS = 1;

export interface RestoreRequest {
  /** The dataset that gets the commit. */
  readonly dataset: string;
  /** The version that is to be the newest again, and a dataset that has its manifest. */
  readonly wanted: { readonly dataset: string; readonly manifest: ManifestName };
  /** The newest version, as it was when this was decided. */
  readonly head: number;
  /** The new version's number is above this. */
  readonly floor: number;
}

export interface RestoreCommit {
  readonly version: number;
  /** Versions that others committed between the restore and the jump to a higher number. */
  readonly overtaken: readonly number[];
}

/**
 * Restores a version as LanceDB's own `restore()` does, but only if the newest version is still the one that
 * the caller saw: LanceDB's is blind, and commits over whatever has come in between. It writes the commit in
 * a dataset of our own that holds just the two manifests, and of old versions what LanceDB looks at; the
 * manifest is then linked into the table under the next number, which fails if anybody has that number, as with any
 * commit of Lance.
 *
 * Undefined where somebody was quicker: nothing has changed then.
 */
export async function commitRestore(
  lancedb: LanceDB,
  database: string,
  request: RestoreRequest,
): Promise<RestoreCommit | undefined> {
  const { dataset, wanted, head, floor } = request;
  const newest = (await listManifests(dataset))[0];
  if (!newest || newest.version !== head) return undefined;
  const staging = makeStagingDirectory(database, "table");
  try {
    if (!(await placeManifests(staging, request, newest))) return undefined;
    await placeLookedAt(staging, request, newest);
    const made = await restoreIn(lancedb, database, staging, wanted.manifest.version, head);
    await placeTransaction(staging, dataset, made.transactionFile);
    const next = join(dataset, VERSIONS, manifestName(head + 1, newest.scheme));
    let looked = 0;
    const isStillHead = () => {
      looked = performance.now();
      return newestNow(dataset) === head;
    };
    if (!(await createFileExclusively(next, made.bytes, isStillHead))) return undefined;
    const ms = performance.now() - looked;
    if (ms >= OVERTAKEN_MS && newestNow(dataset) > head + 1) {
      // The number was free because a cleanup had taken it: this is no newest version, and nobody's.
      rmSync(next, { force: true });
      return undefined;
    }
    const version = Math.max(head, floor) + 1;
    const overtaken = version > head + 1 ? await jump(dataset, next, head + 1, version, newest) : [];
    await syncVersions(dataset, [head + 1, version], newest);
    return { version, overtaken };
  } finally {
    removeStagingDirectory(staging);
  }
}

/** The highest version number, without a pause in which others could commit. */
function newestNow(dataset: string): number {
  const directory = join(dataset, VERSIONS);
  try {
    const versions = readdirSync(directory).map((name) => parseManifestName(name)?.version ?? 0);
    return versions.reduce((highest, version) => Math.max(highest, version), 0);
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
}

/** False where a cleanup has taken the newest manifest away: it is not the newest any more. */
async function placeManifests(
  staging: string,
  request: RestoreRequest,
  newest: ManifestName,
): Promise<boolean> {
  const { dataset, wanted } = request;
  const placer = new Placer(PIN_ORDER);
  try {
    const name = manifestName(wanted.manifest.version, newest.scheme);
    await placer.placeAs(join(wanted.dataset, VERSIONS, wanted.manifest.name), staging, manifestPath(name));
    if (newest.version !== wanted.manifest.version) {
      await placer.place(dataset, staging, manifestPath(newest.name));
    }
    return true;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return false;
  }
}

/**
 * What the manifest of an old version does not say of its files, LanceDB finds out when it restores: rows and bytes of
 * fragments, files and kinds of indices. Without an index's files it would forget which fragments the index covers.
 */
async function placeLookedAt(
  staging: string,
  { dataset, wanted }: RestoreRequest,
  { scheme }: ManifestName,
): Promise<void> {
  const { version } = wanted.manifest;
  const found = readManifest(staging, { name: manifestName(version, scheme), version, scheme });
  if (!found) return;
  const { message, indices } = found.manifest;
  const isOld = !hasTrueCounts(found.manifest);
  const paths: string[] = [];
  if (isOld || !message.fragments.every(isCounted)) {
    const known = new FragmentFiles();
    for (const one of message.fragments)
      for (const { path } of known.of(one, dataset, dataset).files) paths.push(path);
  }
  for (const index of indices) {
    if (isOld || index.files.length === 0) paths.push(...listFiles(dataset, placeOf(index).directory));
  }
  const placer = new Placer(PIN_ORDER);
  for (const path of paths) {
    await placer.place(dataset, staging, path).catch((error: unknown) => {
      if (errnoOf(error) !== "ENOENT") throw error; // LanceDB says what is missing, where it needs it
    });
  }
}

const INDICES = "_indices";

interface MadeRestore {
  readonly bytes: Uint8Array;
  readonly transactionFile: string;
}

async function restoreIn(
  lancedb: LanceDB,
  database: string,
  staging: string,
  wanted: number,
  head: number,
): Promise<MadeRestore> {
  const restore = async () => {
    using door = await Door.open(lancedb, database, staging);
    await door.table.checkout(wanted);
    await door.table.restore();
  };
  try {
    await restore().catch((error: unknown) => {
      if (!existsSync(join(staging, INDICES))) throw error;
      rmSync(join(staging, INDICES), { recursive: true }); // one that LanceDB cannot read must hold up no row
      return restore();
    });
  } catch (error) {
    if (error instanceof BackupError) throw error;
    const message = reasonOf(error);
    throw new LanceError(`LanceDB could not restore version ${wanted}: ${message}`, { cause: error });
  }
  const made = await readVersion(staging, head + 1);
  const then = await readVersion(staging, wanted);
  if (!made || !then || !sameContent(made.manifest, then.manifest)) {
    throw new CorruptError(`What LanceDB restored is not what version ${wanted} was.`, { path: staging });
  }
  return { bytes: made.bytes, transactionFile: made.manifest.message.transactionFile };
}

/** The manifest holds its transaction itself; the file beside it is for readers of older kinds. */
async function placeTransaction(staging: string, dataset: string, file: string): Promise<void> {
  const path = `_transactions/${file}`;
  if (!file || !existsSync(join(staging, path))) return;
  await new Placer(PIN_ORDER).place(staging, dataset, path);
  takeOwner(join(dataset, path));
}

/**
 * Commits the restored version once more under a higher number, so that every handle that has seen a number
 * up to the floor finds a restore above it, and stops. Lance allows gaps (docs/lance-facts.md).
 */
async function jump(
  dataset: string,
  path: string,
  restored: number,
  to: number,
  newest: ManifestName,
): Promise<number[]> {
  const bytes = await io("read", path, () => readFile(path));
  const target = join(dataset, VERSIONS, manifestName(to, newest.scheme));
  const manifest = parseManifest(bytes, restored, path);
  removeHint(dataset);
  if (!(await createFileExclusively(target, renumberManifest(bytes, manifest, to)))) {
    throw new CorruptError(`${target} exists already.`, { path: target });
  }
  removeHint(dataset); // somebody may have committed between, and named a number below the gap
  const seen = (await listManifests(dataset)).map((name) => name.version);
  return seen.filter((version) => version > restored && version < to).sort((a, b) => a - b);
}

/**
 * A handle that finds a hint asks for the number after the higher of the hint and its own, and where that is
 * free it takes it: below a gap it never sees what is above. Without a hint it lists, and finds everything.
 */
function removeHint(dataset: string): void {
  const path = join(dataset, VERSIONS, VERSION_HINT);
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw toIoError(error, "remove", path);
  }
}

async function syncVersions(
  dataset: string,
  versions: readonly number[],
  newest: ManifestName,
): Promise<void> {
  for (const version of new Set(versions)) {
    // Others may have gone on from it, and cleaned it up: theirs is the newest then.
    await syncIfThere(join(dataset, VERSIONS, manifestName(version, newest.scheme)));
  }
  await syncDirectory(join(dataset, VERSIONS));
}

async function readVersion(dataset: string, version: number) {
  const name = (await listManifests(dataset)).find((entry) => entry.version === version);
  if (!name) return undefined;
  const path = join(dataset, VERSIONS, name.name);
  const bytes = await io("read", path, () => readFile(path));
  return { bytes, manifest: parseManifest(bytes, version, path) };
}
