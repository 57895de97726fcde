import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { CorruptError } from "../errors.ts";
import { ifThere } from "../fs/held-root.ts";
import { toIoError } from "../fs/io.ts";
import { digestOf, VERSIONS } from "./image.ts";
import { type ManifestName, manifestName } from "./manifest-name.ts";
import { readManifest } from "./put-back/state.ts";

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
