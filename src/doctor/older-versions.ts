import { statSync } from "node:fs";
import { join } from "node:path";
import { BackupError } from "../errors.ts";
import { isMissing, reasonOf } from "../fs/io.ts";
import { ImageReader, type VersionImage } from "../lance/image.ts";
import { listManifests } from "../lance/manifest.ts";
import { counted } from "../util/format.ts";
import type { Finding } from "./finding.ts";
import type { Remedies } from "./remedies.ts";

const MOST_SHOWN = 3;

/**
 * Older versions that cannot be read in full any more: snapshots leave them out, and what was to be restored of them is
 * lost. The newest version is another finding's.
 */
export async function diagnoseOlderVersions(
  remedies: Remedies,
  id: string,
  dataset: string,
  newest: VersionImage,
  signal?: AbortSignal,
): Promise<Finding[]> {
  const broken = await brokenVersions(dataset, newest, signal);
  if (broken.size === 0) return [];
  // A cleanup takes files first and their manifests then.
  const left = new Set((await listManifests(dataset)).map(({ version }) => version));
  const still = [...broken].filter(([version]) => left.has(version));
  if (still.length === 0) return [];
  const shown = still.slice(0, MOST_SHOWN).map(([version, why]) => `version ${version}: ${why}`);
  const more = still.length > MOST_SHOWN ? ` and ${still.length - MOST_SHOWN} more` : "";
  return [
    {
      check: "versions",
      about: id,
      level: "warning",
      details: `${counted(still.length, "older version")} cannot be read in full, and no new snapshot has them: ${shown.join("; ")}${more}.`,
      advice: `${remedies.scrub()} brings files back from a snapshot that has them. Versions that nobody needs go with optimize({ cleanupOlderThan }).`,
    },
  ];
}

/** What is wrong, by the version. */
async function brokenVersions(
  dataset: string,
  newest: VersionImage,
  signal: AbortSignal | undefined,
): Promise<Map<number, string>> {
  const told = new Set(newest.files.map(({ path }) => path));
  const seen = new Map<string, string | undefined>();
  const broken = new Map<number, string>();
  const reader = new ImageReader(dataset);
  for (const manifest of await listManifests(dataset)) {
    if (manifest.version >= newest.version) continue;
    signal?.throwIfAborted();
    try {
      for (const { path, size } of (await reader.readUnseen(manifest)).files) {
        if (told.has(path)) continue;
        if (!seen.has(path)) seen.set(path, problemOf(join(dataset, path), size));
        const problem = seen.get(path);
        if (problem !== undefined) broken.set(manifest.version, `${path} ${problem}`);
      }
    } catch (error) {
      if (isMissing(error)) continue; // cleaned up while we looked
      if (!(error instanceof BackupError)) throw error;
      broken.set(manifest.version, reasonOf(error));
    }
  }
  return broken;
}

function problemOf(file: string, size: number | undefined): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found) return "is missing";
  return size !== undefined && found.size !== size ? `has ${found.size} bytes, not ${size}` : undefined;
}
