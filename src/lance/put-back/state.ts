import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CorruptError } from "../../errors.ts";
import { isMissing, toIoError } from "../../fs/io.ts";
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
}

/** Looks at a dataset from its manifests. A directory without any is the same as none. */
export async function inspectTable(dataset: string): Promise<TableState> {
  const all = await listManifests(dataset);
  const damaged: ManifestName[] = [];
  for (const [index, name] of all.entries()) {
    try {
      const head = readManifest(dataset, name)?.manifest;
      if (head) return { manifests: all.slice(index), damaged, head };
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      damaged.push(name);
    }
  }
  return { manifests: [], damaged, head: undefined };
}

/** A manifest and its digest; undefined where it is not there. */
export function readManifest(
  dataset: string,
  name: ManifestName,
): { manifest: Manifest; digest: string } | undefined {
  const path = join(dataset, VERSIONS, name.name);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw toIoError(error, "read", path);
  }
  return { manifest: parseManifest(bytes, name.version, path), digest: digestOf(bytes) };
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
