import { statSync } from "node:fs";
import { join } from "node:path";
import { CorruptError } from "../../errors.ts";
import type { Placer } from "../../fs/place.ts";
import { ImageReader, listManifests, manifestPath, VERSIONS, type VersionImage } from "../image.ts";
import { type ManifestName, manifestName, type NamingScheme } from "../manifest-name.ts";
import { findManifest } from "./state.ts";

/**
 * Links the files of a version back from where they were kept, those that are missing or have another
 * size. Answers with how many.
 *
 * @throws CorruptError where a file is neither there nor kept, unless it is an index's: that stays as broken as it was.
 */
export async function linkBackFiles(
  image: VersionImage,
  source: string,
  dataset: string,
  placer: Placer,
): Promise<number> {
  let replaced = 0;
  for (const file of image.files) {
    const size = statSync(join(dataset, file.path), { throwIfNoEntry: false })?.size;
    const kept =
      source === dataset ? undefined : statSync(join(source, file.path), { throwIfNoEntry: false })?.size;
    const wanted = file.size ?? kept ?? size;
    if (size !== undefined && size === wanted) continue;
    if (kept === undefined || kept !== wanted) {
      if (file.index) continue; // it was not whole when it was captured, and no row is in it
      const path = join(dataset, file.path);
      throw new CorruptError(`${path} is missing or cut short, and no copy of it was kept.`, { path });
    }
    await placer.placeOver(join(source, file.path), dataset, file.path);
    replaced++;
  }
  return replaced;
}

/**
 * Puts the manifests of `source` up to `version` into a dataset, each after its files: `version` itself
 * first, since it is whole, then the older ones. A foreign manifest of the same number is renamed over;
 * `keep` is told of it first.
 */
export async function linkBackHistory(options: {
  source: string;
  dataset: string;
  version: number;
  scheme: NamingScheme;
  placer: Placer;
  keep: (manifest: string, version: number) => Promise<void>;
}): Promise<void> {
  const { source, dataset, version, scheme, placer } = options;
  const reader = new ImageReader(source);
  const live = await listManifests(dataset);
  const kept = (await listManifests(source)).filter((name) => name.version <= version);
  for (const manifest of kept) {
    let image: VersionImage;
    try {
      image = await reader.read(manifest);
    } catch (error) {
      if (manifest.version === version || !(error instanceof CorruptError)) throw error;
      continue; // a damaged older version is no loss: it could not be opened before either
    }
    if (await findManifest(dataset, manifest.version, image.digest, live)) {
      if (manifest.version === version) await linkBackFiles(image, source, dataset, placer);
      continue;
    }
    await linkBackFiles(image, source, dataset, placer);
    await putManifest(manifest, live, options, placer, scheme);
  }
}

async function putManifest(
  manifest: ManifestName,
  live: readonly ManifestName[],
  options: { source: string; dataset: string; keep: (manifest: string, version: number) => Promise<void> },
  placer: Placer,
  scheme: NamingScheme,
): Promise<void> {
  const foreign = live.find((name) => name.version === manifest.version);
  if (foreign) await options.keep(join(options.dataset, VERSIONS, foreign.name), foreign.version);
  const name = foreign?.name ?? manifestName(manifest.version, scheme);
  const kept = join(options.source, manifestPath(manifest.name));
  await placer.placeOver(kept, options.dataset, manifestPath(name));
}
