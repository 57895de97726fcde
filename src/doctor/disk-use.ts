import { lstatSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { CorruptError, UnsupportedError } from "../errors.ts";
import { listNames } from "../fs/directory-tree.ts";
import { isMissing } from "../fs/io.ts";
import { isStray } from "../fs/safe-names.ts";
import { ImageReader } from "../lance/image.ts";
import { type ManifestName, manifestPath } from "../lance/manifest.ts";
import { highestOf, lowestOf } from "../util/extremes.ts";
import { counted } from "../util/format.ts";
import type { Finding } from "./finding.ts";

/** Where every file belongs to versions. */
const OF_VERSIONS = ["data", "_deletions", "_indices"];

/** Younger files may be those of a write that is under way. */
const SURE_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** From so much on, and where it is half of the table, history is worth a word. */
const WORTH_BYTES = 10e6;

interface DiskUse {
  /** Bytes of the files that the newest version needs, its manifest with them. */
  readonly newest: number;
  /** Of those that only older versions need, all their manifests with them. */
  readonly history: number;
  readonly versions: number;
  /** Files that no version names, by their age in milliseconds; undefined where that cannot be known. */
  readonly orphans: readonly { readonly bytes: number; readonly ageMs: number }[] | undefined;
}

/** What of a table's bytes is history, and what is nobody's. */
export async function diagnoseDiskUse(
  id: string,
  dataset: string,
  manifests: readonly ManifestName[],
  signal?: AbortSignal,
): Promise<Finding[]> {
  const use = await diskUseOf(dataset, manifests, signal);
  if (!use) return [];
  const findings: Finding[] = [];
  const { newest, history, versions } = use;
  if (history > newest && history > WORTH_BYTES) {
    const share = Math.floor((100 * history) / (newest + history));
    findings.push({
      check: "history",
      about: id,
      level: "note",
      details: `${share} % of its bytes are history: ${counted(history, "byte")} that only its ${counted(versions - 1, "older version")} need, beside ${counted(newest, "byte")} of the newest.`,
      advice:
        'Backups hold all of it, unless they are made with --latest-only (history: "latest"). optimize({ cleanupOlderThan }) removes what is older; snapshots that were taken before keep theirs.',
    });
  }
  const orphans = use.orphans?.filter(({ ageMs }) => ageMs > SURE_MS) ?? [];
  if (orphans.length > 0) findings.push(describeOrphans(id, orphans));
  return findings;
}

function describeOrphans(id: string, orphans: NonNullable<DiskUse["orphans"]>): Finding {
  const bytes = orphans.reduce((sum, orphan) => sum + orphan.bytes, 0);
  const ages = orphans.map(({ ageMs }) => ageMs);
  const [youngest, oldest] = [lowestOf(Number.POSITIVE_INFINITY, ages), highestOf(0, ages)];
  return {
    check: "orphans",
    about: id,
    level: "note",
    details: `${counted(orphans.length, "file")} (${counted(bytes, "byte")}) in it are named by no version, ${inWords(youngest)} to ${inWords(oldest)} old: left by writes that were cut off. No backup has them, and nothing of ours touches them.`,
    advice:
      "optimize({ cleanupOlderThan }) removes those that are older than 7 days. Sooner by deleteUnverified: true, and only while nobody writes to the table: it would take files of writes that are under way.",
  };
}

function inWords(ms: number): string {
  return ms < DAY_MS ? counted(Math.floor(ms / SURE_MS), "hour") : counted(Math.floor(ms / DAY_MS), "day");
}

/** Undefined where a version cannot be read, which is told elsewhere. */
async function diskUseOf(
  dataset: string,
  manifests: readonly ManifestName[],
  signal: AbortSignal | undefined,
): Promise<DiskUse | undefined> {
  const reader = new ImageReader(dataset);
  const named = new Set<string>();
  let [newest, history] = [0, 0];
  for (const [index, manifest] of manifests.entries()) {
    signal?.throwIfAborted();
    try {
      const { files } = await reader.readUnseen(manifest);
      const fresh = new Set(files.map(({ path }) => path).filter((path) => !named.has(path)));
      let bytes = sizeOf(dataset, manifestPath(manifest.name));
      for (const path of fresh) bytes += sizeOf(dataset, path);
      for (const path of fresh) named.add(path);
      if (index === 0) newest += bytes;
      else history += bytes;
    } catch (error) {
      if (isMissing(error)) continue; // cleaned up meanwhile
      if (error instanceof CorruptError || error instanceof UnsupportedError) return undefined;
      throw error;
    }
  }
  // A branch names files of the main line, by manifests of its own.
  const hasBranches = listNames(join(dataset, "_refs/branches")).some((name) => !isStray(name));
  const orphans = hasBranches ? undefined : await unnamed(dataset, named);
  return { newest, history, versions: manifests.length, orphans };
}

function sizeOf(dataset: string, path: string): number {
  return statSync(join(dataset, path), { throwIfNoEntry: false })?.size ?? 0;
}

async function unnamed(dataset: string, named: ReadonlySet<string>): Promise<DiskUse["orphans"]> {
  const orphans: { bytes: number; ageMs: number }[] = [];
  for (const room of OF_VERSIONS) {
    for (const path of await filesBelow(join(dataset, room))) {
      if (named.has(relative(dataset, path).split(sep).join("/"))) continue;
      const found = lstatSync(path, { throwIfNoEntry: false }); // it may go meanwhile
      if (found) orphans.push({ bytes: found.size, ageMs: Date.now() - found.mtimeMs });
    }
  }
  return orphans;
}

async function filesBelow(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true, recursive: true });
    return entries
      .filter((entry) => entry.isFile() && !isStray(entry.name))
      .map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
