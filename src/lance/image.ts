import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isMissing, toIoError } from "../fs/io.ts";
import { FragmentFiles } from "./fragment-files.ts";
import { type Manifest, parseManifest } from "./manifest.ts";
import { type ManifestName, parseManifestName } from "./manifest-name.ts";
import { assertCapturable } from "./supported.ts";

/** A file that a version needs. `path` is relative to the dataset's directory, with forward slashes. */
export interface ImageFile {
  readonly path: string;
  /** Bytes; undefined where the manifest does not say. */
  readonly size: number | undefined;
}

/** One version of a table as the list of files that it is made of. */
export interface VersionImage {
  readonly version: number;
  readonly manifest: ManifestName;
  readonly manifestBytes: number;
  /** SHA-256 of the manifest file, hexadecimal: with the version it is the image's identity. */
  readonly digest: string;
  readonly parsed: Manifest;
  /** Everything but the manifest itself: data, deletions, indices, row ids, blob sidecars. */
  readonly files: readonly ImageFile[];
}

export const VERSIONS = "_versions";

/** The path of a manifest inside its dataset. */
export function manifestPath(name: string): string {
  return `${VERSIONS}/${name}`;
}

/** The versions whose manifests are there, newest first; empty where the directory is no dataset. */
export async function listManifests(dataset: string): Promise<ManifestName[]> {
  const directory = join(dataset, VERSIONS);
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
  return names
    .map(parseManifestName)
    .filter((name) => name !== undefined)
    .sort((a, b) => b.version - a.version);
}

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * Reads the images of one dataset. Keeps what neighbouring versions share, so that reading a long history
 * costs what its versions differ in.
 */
export class ImageReader {
  readonly dataset: string;
  readonly #fragments = new FragmentFiles();
  #sidecars: Set<string> | undefined;

  constructor(dataset: string) {
    this.dataset = dataset;
  }

  /**
   * Reads one version's manifest and lists its files.
   *
   * @throws `ENOENT` (the system's own error) where the manifest is gone: callers then look again.
   * @throws CorruptError where the manifest is damaged.
   * @throws UnsupportedError where the version uses what cannot be captured in full.
   */
  async read(manifest: ManifestName): Promise<VersionImage> {
    const path = join(this.dataset, VERSIONS, manifest.name);
    let bytes: Buffer;
    try {
      bytes = readFileSync(path);
    } catch (error) {
      if (isMissing(error)) throw error;
      throw toIoError(error, "read", path);
    }
    const parsed = parseManifest(bytes, manifest.version, path);
    assertCapturable(this.dataset, parsed);
    // Directories beside data files hold large blobs; no manifest names them (docs/lance-facts.md).
    this.#sidecars ??= new Set(await listDirectories(join(this.dataset, "data")));
    const sidecars = this.#sidecars;
    const files: ImageFile[] = [];
    for (const fragment of parsed.message.fragments) {
      for (const file of this.#fragments.of(fragment, this.dataset, path)) {
        files.push(file);
        const stem = sidecars.size > 0 ? stemOf(file.path) : undefined;
        if (stem && sidecars.has(stem)) files.push(...(await listFiles(this.dataset, `data/${stem}`)));
      }
    }
    await this.#addIndices(parsed, files, path);
    return {
      version: manifest.version,
      manifest,
      manifestBytes: bytes.length,
      digest: digestOf(bytes),
      parsed,
      files,
    };
  }

  /** Blob directories appear with their data file: look again when a newer version is read. */
  forgetDirectories(): void {
    this.#sidecars = undefined;
  }

  async #addIndices(parsed: Manifest, files: ImageFile[], source: string): Promise<void> {
    for (const index of parsed.indices) {
      const directory = `_indices/${formatUuid(index.uuid?.uuid ?? new Uint8Array())}`;
      if (index.files.length === 0) {
        files.push(...(await listFiles(this.dataset, directory)));
        continue;
      }
      for (const file of index.files) {
        files.push(this.#fragments.checked(`${directory}/${file.path}`, file.sizeBytes, source));
      }
    }
  }
}

/** What a data file is called without its ending: the name of its blob directory, if it has one. */
function stemOf(path: string): string | undefined {
  return path.startsWith("data/") ? path.slice("data/".length).replace(/\.lance$/, "") : undefined;
}

function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

async function listDirectories(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
}

async function listFiles(dataset: string, directory: string): Promise<ImageFile[]> {
  try {
    const entries = await readdir(join(dataset, directory), { withFileTypes: true, recursive: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const inner = entry.parentPath.slice(join(dataset, directory).length).replaceAll("\\", "/");
        return { path: `${directory}${inner}/${entry.name}`, size: undefined };
      });
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", join(dataset, directory));
  }
}
