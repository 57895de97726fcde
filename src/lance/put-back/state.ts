import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CorruptError, LanceError } from "../../errors.ts";
import { ifThere } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import { digestOf, listManifests, VERSIONS } from "../image.ts";
import { type Manifest, parseManifest } from "../manifest.ts";
import type { ManifestName } from "../manifest-name.ts";

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
const LOOKS = 50;

/**
 * Looks at a dataset from its manifests. A directory without any is the same as none. A cleanup never takes
 * the newest: where one that was listed is gone, there is a newer one, and we look again.
 */
export async function inspectTable(dataset: string): Promise<TableState> {
  for (let look = 1; ; look++) {
    const state = readState(dataset, await listManifests(dataset));
    if (state) return state;
    if (look === LOOKS) {
      throw new LanceError(`The manifests of ${dataset} vanish as fast as they can be read.`);
    }
  }
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

/** A manifest and its digest; undefined where it is not there. */
export function readManifest(
  dataset: string,
  name: ManifestName,
): { manifest: Manifest; digest: string } | undefined {
  const path = join(dataset, VERSIONS, name.name);
  let bytes: Buffer | undefined;
  try {
    bytes = ifThere(path, () => readFileSync(path));
  } catch (error) {
    throw toIoError(error, "read", path);
  }
  return bytes && { manifest: parseManifest(bytes, name.version, path), digest: digestOf(bytes) };
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
