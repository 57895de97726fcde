import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { BackupError } from "../errors.ts";
import { listNames } from "../fs/directory-tree.ts";
import { isMissing } from "../fs/io.ts";
import { type ManifestName, readManifest } from "../lance/manifest.ts";
import { tagOfFile, versionOfTag } from "../lance/tag-file.ts";
import type { Finding } from "./finding.ts";

/** `optimize()` removes versions that are older than this, unless it is told otherwise. */
const CUTOFF_DAYS = 7;
const DAY_MS = 86_400_000;

/**
 * A tag on a version that is older than the cutoff of `optimize()` makes it throw, after it has compacted and before it
 * has removed anything (docs/lance-facts.md).
 */
export async function diagnoseTags(
  id: string,
  dataset: string,
  manifests: readonly ManifestName[],
  now = Date.now(),
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const base = { check: "tags", about: id };
  for (const file of listNames(join(dataset, "_refs/tags"))) {
    const tag = tagOfFile(file);
    if (tag === undefined) continue;
    if (/[^\u0020-\u007e]/.test(tag)) {
      const details = `Tag "${tag}" has letters that LanceDB cannot list: its tags.list() and optimize() throw.`;
      findings.push({
        ...base,
        level: "problem",
        details,
        advice: `Remove ${join(dataset, "_refs/tags", file)}.`,
      });
      continue;
    }
    const version = await versionOf(join(dataset, "_refs/tags", file));
    if (version === undefined) continue;
    const name = manifests.find((manifest) => manifest.version === version);
    const committed = name && timeOf(dataset, name);
    if (name === undefined) {
      const details = `Tag "${tag}" names version ${version}, which is not there.`;
      findings.push({ ...base, level: "warning", details, advice: `Delete the tag: tags.delete("${tag}").` });
    } else if (committed !== undefined) {
      findings.push({ ...base, ...describe(tag, version, committed, now) });
    }
  }
  return findings;
}

function describe(tag: string, version: number, committed: number, now: number) {
  const days = Math.floor((now - committed) / DAY_MS);
  const isOld = now - committed > CUTOFF_DAYS * DAY_MS;
  const advice = `Where the tag is not needed: tags.delete("${tag}"). Else keep that version in a snapshot, then delete it; or call optimize({ cleanupOlderThan }) with a moment before the version.`;
  if (isOld) {
    const details = `Tag "${tag}" is on version ${version}, ${days} days old: optimize() throws, and removes no old versions.`;
    return { level: "warning", details, advice } as const;
  }
  const from = new Date(committed + CUTOFF_DAYS * DAY_MS).toISOString().slice(0, 10);
  const details = `Tag "${tag}" is on version ${version}: from ${from} on optimize() throws.`;
  return { level: "note", details, advice } as const;
}

function timeOf(dataset: string, name: ManifestName): number | undefined {
  try {
    const timestamp = readManifest(dataset, name)?.manifest.timestamp;
    return timestamp !== undefined && Number.isFinite(timestamp) ? timestamp : undefined;
  } catch (error) {
    if (error instanceof BackupError) return undefined; // told about the table
    throw error;
  }
}

async function versionOf(path: string): Promise<number | undefined> {
  try {
    const version = versionOfTag(await readFile(path));
    return Number.isNaN(version) ? undefined : version;
  } catch (error) {
    if (isMissing(error)) return undefined; // deleted meanwhile
    throw error;
  }
}
