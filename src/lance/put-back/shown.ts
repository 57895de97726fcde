import { CorruptError } from "../../errors.ts";
import { listManifests } from "../image.ts";
import type { Manifest } from "../manifest.ts";
import { sameContent } from "../same-content.ts";
import type { PutBackTarget } from "./plan.ts";
import { findManifest, readManifest } from "./state.ts";

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
