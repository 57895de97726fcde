import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { UnsupportedError } from "../errors.ts";
import { ifThere, ifThereLater } from "../fs/held-root.ts";
import { isMissing, toIoError } from "../fs/io.ts";
import { isStray } from "../fs/safe-names.ts";
import {
  type FragmentContents,
  FragmentFiles,
  hasTrueCounts,
  type ImageFile,
  type IndexPlace,
} from "./fragment-files.ts";
import {
  countOf,
  type FragmentRun,
  fragmentAt,
  isSameAt,
  isStartOf,
  type Manifest,
  type ManifestName,
  parseManifest,
  parseManifestApart,
  parseManifestName,
} from "./manifest.ts";
import type { IndexMetadata } from "./proto/lance_pb.ts";

/** One version of a table as the list of files that it is made of. */
export interface VersionImage {
  readonly version: number;
  readonly manifest: ManifestName;
  readonly manifestBytes: number;
  /** SHA-256 of the manifest file, hexadecimal: with the version it is the image's identity. */
  readonly digest: string;
  readonly parsed: Manifest;
  /** Undefined where the manifest does not say: what Lance before 0.8.15 noted is missing or wrong. */
  readonly rows: number | undefined;
  /** Everything but the manifest itself: data, deletions, indices, row ids, blob sidecars. */
  readonly files: readonly ImageFile[];
}

/** One version of a history, as the files that the versions read before it did not have. */
export interface HistoryImage extends Omit<VersionImage, "digest"> {
  /** Its message has no fragments, and its bytes are good until the next version is read. */
  readonly parsed: Manifest;
  /** SHA-256 of the manifest file, hexadecimal. To be asked for before the next version is read. */
  readonly digest: () => string;
}

export const VERSIONS = "_versions";

/** The path of a manifest inside its dataset. */
export function manifestPath(name: string): string {
  return `${VERSIONS}/${name}`;
}

/** The versions whose manifests are there, newest first; empty where the directory is no dataset. */
export async function listManifests(dataset: string): Promise<ManifestName[]> {
  const directory = join(dataset, VERSIONS);
  let names: string[] | undefined;
  try {
    names = await ifThereLater(directory, () => readdir(directory));
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
  return (names ?? [])
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
  /** The fragments of the version that `readUnseen` read last, and their rows, added up. */
  readonly #buffers = [new ReusedBuffer(), new ReusedBuffer()];
  #last: { readonly run: FragmentRun; readonly rowsBefore: readonly number[] } | undefined;

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
    const { path, bytes } = this.#open(manifest, readFileSync);
    const parsed = parseManifest(bytes, manifest.version, path);
    assertCapturable(this.dataset, parsed);
    const files: ImageFile[] = [];
    let rows = 0;
    for (const fragment of parsed.message.fragments) {
      const contents = this.#fragments.of(fragment, this.dataset, path);
      rows += contents.rows;
      await this.#addFragment(contents, files);
    }
    await this.#addIndices(parsed, files, path);
    return {
      version: manifest.version,
      manifest,
      manifestBytes: bytes.length,
      digest: digestOf(bytes),
      parsed,
      rows: trusted(rows, parsed),
      files,
    };
  }

  /**
   * The same, but `files` leaves out those of the fragments that the version read before by this call has at the
   * same place. Of a history, newest first, each file is listed with the first version that has it, at least.
   */
  async readUnseen(manifest: ManifestName): Promise<HistoryImage> {
    const [free] = this.#buffers; // the other one holds the fragments that this version is compared with
    const { path, bytes } = this.#open(manifest, (path) => (free as ReusedBuffer).read(path));
    const { manifest: parsed, run } = parseManifestApart(bytes, manifest.version, path);
    assertCapturable(this.dataset, parsed);
    const files: ImageFile[] = [];
    const last = this.#last;
    let rowsBefore: readonly number[];
    if (last && isStartOf(run, last.run)) rowsBefore = last.rowsBefore;
    else rowsBefore = await this.#addUnseen(run, last, files, path);
    await this.#addIndices(parsed, files, path);
    this.#last = { run, rowsBefore };
    this.#buffers.reverse(); // not before: a version that cannot be read leaves the last one as it was
    const rows = trusted(rowsBefore[countOf(run)] ?? 0, parsed);
    const { version } = manifest;
    const digest = () => digestOf(bytes);
    return { version, manifest, manifestBytes: bytes.length, digest, parsed, rows, files };
  }

  /** What was listed could not be used: the next version is listed whole. */
  forgetSeen(): void {
    this.#last = undefined;
  }

  async #addUnseen(
    run: FragmentRun,
    last: { readonly run: FragmentRun; readonly rowsBefore: readonly number[] } | undefined,
    files: ImageFile[],
    path: string,
  ): Promise<number[]> {
    const rowsBefore = [0];
    let rows = 0;
    for (let index = 0; index < countOf(run); index++) {
      if (last && isSameAt(index, run, last.run)) {
        rows += (last.rowsBefore[index + 1] ?? 0) - (last.rowsBefore[index] ?? 0);
      } else {
        const contents = this.#fragments.of(fragmentAt(run, index), this.dataset, path);
        rows += contents.rows;
        await this.#addFragment(contents, files);
      }
      rowsBefore.push(rows);
    }
    return rowsBefore;
  }

  #open(manifest: ManifestName, read: (path: string) => Buffer): { path: string; bytes: Buffer } {
    const path = join(this.dataset, VERSIONS, manifest.name);
    try {
      return { path, bytes: read(path) };
    } catch (error) {
      if (isMissing(error)) throw error;
      throw toIoError(error, "read", path);
    }
  }

  /** Directories beside data files hold large blobs; no manifest names them (docs/lance-facts.md). */
  async #addFragment(contents: FragmentContents, files: ImageFile[]): Promise<void> {
    this.#sidecars ??= new Set(await listDirectories(join(this.dataset, "data")));
    for (const file of contents.files) {
      files.push(file);
      if (this.#sidecars.size === 0) continue;
      const stem = stemOf(file.path);
      if (!stem || !this.#sidecars.has(stem)) continue;
      for (const blob of await listFiles(this.dataset, `data/${stem}`)) files.push(blob);
    }
  }

  /** Blob directories appear with their data file: look again when a newer version is read. */
  forgetDirectories(): void {
    this.#sidecars = undefined;
  }

  async #addIndices(parsed: Manifest, files: ImageFile[], source: string): Promise<void> {
    for (const index of parsed.indices) {
      const place = placeOf(index);
      if (index.files.length === 0) {
        const found = await listFiles(this.dataset, place.directory);
        files.push(...found.map((file) => ({ ...file, index: place })));
        continue;
      }
      for (const { path, sizeBytes } of index.files) {
        const file = this.#fragments.checked(`${place.directory}/${path}`, sizeBytes, source);
        files.push({ ...file, index: place });
      }
    }
  }
}

function trusted(rows: number, manifest: Manifest): number | undefined {
  return Number.isNaN(rows) || !hasTrueCounts(manifest) ? undefined : rows;
}

/** What a data file is called without its ending: the name of its blob directory, if it has one. */
function stemOf(path: string): string | undefined {
  return path.startsWith("data/") ? path.slice("data/".length).replace(/\.lance$/, "") : undefined;
}

export function placeOf({ name, uuid }: IndexMetadata): IndexPlace {
  return { name, directory: `_indices/${formatUuid(uuid?.uuid ?? new Uint8Array())}` };
}

function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

async function listDirectories(directory: string): Promise<string[]> {
  try {
    const entries = await ifThereLater(directory, () => readdir(directory, { withFileTypes: true }));
    return (entries ?? []).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
}

/** The files below a directory of a dataset; none where it is not there. */
export async function listFiles(dataset: string, directory: string): Promise<ImageFile[]> {
  const all = { withFileTypes: true, recursive: true } as const;
  try {
    const entries = await ifThereLater(join(dataset, directory), () =>
      readdir(join(dataset, directory), all),
    );
    return (entries ?? [])
      .filter((entry) => entry.isFile() && !isStray(entry.name))
      .map((entry) => {
        const inner = entry.parentPath.slice(join(dataset, directory).length).replaceAll("\\", "/");
        return { path: `${directory}${inner}/${entry.name}`, size: undefined };
      });
  } catch (error) {
    throw toIoError(error, "list", join(dataset, directory));
  }
}

/**
 * Reads files one after the other into memory that it uses again: what a call answers with is good until the next
 * one. Thousands of manifests in buffers of their own would fill the memory faster than it is given back.
 */
export class ReusedBuffer {
  #buffer = Buffer.alloc(0);

  /** @throws the system's own error. */
  read(path: string): Buffer {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      if (size > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(Math.ceil(size * 1.5));
      let length = 0;
      while (length < size) {
        const count = readSync(file, this.#buffer, length, size - length, length);
        if (count === 0) break;
        length += count;
      }
      return this.#buffer.subarray(0, length);
    } finally {
      closeSync(file);
    }
  }
}

const DELETIONS = 1n;
const STABLE_ROW_IDS = 2n;
const V2_FORMAT = 4n;
const TABLE_CONFIG = 8n;
const MULTI_BASE = 16n;
const NO_TRANSACTION_FILES = 32n;
const OVERLAYS = 64n;
const COVERING_INDEXES = 128n;
const MIXED_FILE_VERSIONS = 256n;
const FRAGMENT_TREE = 512n;

/** Features that keep every byte of a version in files that the manifest names. */
const KNOWN =
  DELETIONS |
  STABLE_ROW_IDS |
  V2_FORMAT |
  TABLE_CONFIG |
  NO_TRANSACTION_FILES |
  COVERING_INDEXES |
  MIXED_FILE_VERSIONS;

const NAMES: readonly [bigint, string][] = [
  [MULTI_BASE, "several base paths (a shallow clone?)"],
  [OVERLAYS, "overlays"],
  [FRAGMENT_TREE, "a fragment tree"],
];

/** The index under which Lance keeps its write-ahead log: acknowledged rows outside every manifest. */
const LSM_INDEX = "__lance_mem_wal";

/**
 * Refuses a version that its file list does not describe in full: half a copy is worse than none.
 *
 * @throws UnsupportedError naming the table and the feature.
 */
export function assertCapturable(dataset: string, manifest: Manifest): void {
  const refuse = (feature: string): never => {
    throw new UnsupportedError(
      `The table at ${dataset} uses ${feature}, which cannot be captured in full. Leave the table out, or rewrite it without.`,
    );
  };
  const flags = manifest.message.readerFeatureFlags | manifest.message.writerFeatureFlags;
  for (const [flag, name] of NAMES) if ((flags & flag) !== 0n) refuse(name);
  if ((flags & ~KNOWN) !== 0n)
    refuse(`a Lance feature that this version does not know (flags ${flags & ~KNOWN})`);
  if (manifest.message.basePaths.length > 0) refuse("several base paths (a shallow clone?)");
  for (const index of manifest.indices) {
    if (index.name === LSM_INDEX) refuse("the LSM write path, which keeps rows outside every manifest");
    if (index.baseId !== undefined) refuse("an index under another base path");
  }
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
