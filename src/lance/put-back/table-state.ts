import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { CorruptError, LanceError } from "../../errors.ts";
import { ifThere } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import {
  digestOf,
  listManifests,
  type Manifest,
  type ManifestName,
  manifestName,
  readManifest,
  VERSIONS,
} from "../manifest.ts";

/** What lies in a table's directory now. */
export interface TableState {
  /** Readable versions, newest first, up from the newest whole one; empty where there is no table. */
  readonly manifests: readonly ManifestName[];
  /** Manifests above the newest whole one that do not parse: what a power cut leaves. Newest first. */
  readonly damaged: readonly ManifestName[];
  readonly head: Manifest | undefined;
  /** SHA-256 of the newest readable manifest. */
  readonly headDigest: string | undefined;
}

/** How often a directory is listed whose manifests vanish while they are read. */
export const LOOKS = 50;

/**
 * Looks at a dataset from its manifests. A directory without any is the same as none. A cleanup never takes
 * the newest: where one that was listed is gone, there is a newer one, and we look again.
 */
export async function inspectTable(dataset: string): Promise<TableState> {
  for (let look = 1; ; look++) {
    const state = readState(dataset, await listManifests(dataset));
    if (state) return state;
    if (look === LOOKS) throw vanishing(dataset);
  }
}

export function vanishing(dataset: string): LanceError {
  return new LanceError(`The manifests of ${dataset} are removed faster than they can be read.`);
}

/** Undefined where a manifest vanished meanwhile. */
function readState(dataset: string, all: readonly ManifestName[]): TableState | undefined {
  const damaged: ManifestName[] = [];
  for (const [index, name] of all.entries()) {
    try {
      const found = readManifest(dataset, name);
      return (
        found && { manifests: all.slice(index), damaged, head: found.manifest, headDigest: found.digest }
      );
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      damaged.push(name);
    }
  }
  return { manifests: [], damaged, head: undefined, headDigest: undefined };
}

/** The manifest of `version` in a dataset, if its bytes have this digest. */
export async function findManifest(
  dataset: string,
  version: number,
  digest: string,
  manifests?: readonly ManifestName[],
): Promise<ManifestName | undefined> {
  const name = (manifests ?? (await listManifests(dataset))).find((entry) => entry.version === version);
  if (!name) return undefined;
  try {
    return readManifest(dataset, name)?.digest === digest ? name : undefined;
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}

/**
 * Versions of a table, each with the SHA-256 of its manifest: a number alone comes again when the table is
 * dropped and made anew. `undefined`: only the number is known. Empty: the manifest had gone before it could
 * be read, so that whatever stands under this number now came later.
 */
export type VersionIdentities = ReadonlyMap<number, string | undefined>;

/** The digest of a version's manifest, empty where there is none. One small read. */
export function digestOfVersion(dataset: string, version: number): string {
  for (const scheme of ["v2", "v1"] as const) {
    const path = join(dataset, VERSIONS, manifestName(version, scheme));
    try {
      const bytes = ifThere(path, () => readFileSync(path));
      if (bytes) return digestOf(bytes);
    } catch (error) {
      throw toIoError(error, "read", path);
    }
  }
  return "";
}

/** Whether a version's manifest is there, unread. */
export function hasVersion(dataset: string, version: number): boolean {
  return (["v2", "v1"] as const).some((scheme) => {
    const path = join(dataset, VERSIONS, manifestName(version, scheme));
    try {
      return ifThere(path, () => statSync(path, { throwIfNoEntry: false })) !== undefined;
    } catch (error) {
      throw toIoError(error, "look at", path);
    }
  });
}

/** Whether a manifest on the disk is the version that is known by this number. */
export function isKnown(dataset: string, name: ManifestName, known: VersionIdentities): boolean {
  if (!known.has(name.version)) return false;
  const digest = known.get(name.version);
  if (digest === undefined) return true;
  try {
    const found = readManifest(dataset, name);
    return !found || found.digest === digest; // a cleanup may take ours at any moment
  } catch (error) {
    if (error instanceof CorruptError) return true; // nobody's rows are in what cannot be read
    throw error;
  }
}

/** Whether a known version stands there as another one: the table was dropped and made anew. */
export function isRemade(dataset: string, names: readonly ManifestName[], known: VersionIdentities): boolean {
  return names.some((name) => known.has(name.version) && !isKnown(dataset, name, known));
}

/**
 * Whether a dataset's directory was made after this time, milliseconds since 1970: then it is not the one that
 * was there, whatever it is called. Where the file system keeps no time of birth, a directory in which
 * something was made since counts as new.
 */
export function isBornAfter(dataset: string, time: number): boolean {
  const stat = statSync(join(dataset, VERSIONS), { throwIfNoEntry: false });
  return stat === undefined || stat.birthtimeMs > time;
}
