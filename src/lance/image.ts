import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { isMissing, toIoError } from "../fs/io.ts";
import { HistoryFiles, type ListedFiles } from "./history-files.ts";
import { digestOf, type Manifest, type ManifestName, parseManifest, VERSIONS } from "./manifest.ts";
import { listEntries, listFiles } from "./table-directory.ts";

/** One version of a table as the list of files that it is made of. */
export interface VersionImage extends ListedFiles {
  readonly version: number;
  readonly manifest: ManifestName;
  readonly manifestBytes: number;
  /** SHA-256 of the manifest file, hexadecimal: with the version it is the image's identity. */
  readonly digest: string;
  readonly parsed: Manifest;
}

/** One version of a history, as the files that the versions read before it did not have. */
export interface HistoryImage extends Omit<VersionImage, "digest"> {
  /** Its message has no fragments, and its bytes are good until the next version is read. */
  readonly parsed: Manifest;
  /** SHA-256 of the manifest file, hexadecimal. To be asked for before the next version is read. */
  readonly digest: () => string;
}

/**
 * Reads the images of one dataset. Keeps what neighbouring versions share, so that reading a long history
 * costs what its versions differ in.
 */
export class ImageReader {
  readonly dataset: string;
  readonly #history: HistoryFiles;
  #sidecars: Set<string> | undefined;
  /** For `readUnseen`; the one holds the fragments that the next version is compared with. */
  readonly #buffers = [new ReusedBuffer(), new ReusedBuffer()];

  constructor(dataset: string) {
    this.dataset = dataset;
    this.#history = new HistoryFiles(dataset, (directory) => this.#below(directory));
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
    const listed = this.#history.all(parsed, path);
    const { version } = manifest;
    return { version, manifest, manifestBytes: bytes.length, digest: digestOf(bytes), parsed, ...listed };
  }

  /**
   * The same, but `files` leaves out those of the fragments that the version read before by this call has at the
   * same place. Of a history, newest first, each file is listed with the first version that has it, at least.
   */
  async readUnseen(manifest: ManifestName): Promise<HistoryImage> {
    const { path, bytes } = this.#open(manifest, (path) => (this.#buffers[0] as ReusedBuffer).read(path));
    const { version } = manifest;
    const { manifest: parsed, ...listed } = this.#history.read(bytes, version, path);
    this.#buffers.reverse(); // not before: a version that cannot be read leaves the last one as it was
    const digest = () => digestOf(bytes);
    return { version, manifest, manifestBytes: bytes.length, digest, parsed, ...listed };
  }

  /** What was listed could not be used: the next version is listed whole. */
  forgetSeen(): void {
    this.#history.forget();
  }

  /** Blob directories appear with their data file: look again when a newer version is read. */
  forgetDirectories(): void {
    this.#sidecars = undefined;
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

  #below(directory: string): string[] {
    if (directory.startsWith(DATA)) {
      this.#sidecars ??= listDirectories(join(this.dataset, DATA));
      if (!this.#sidecars.has(directory.slice(DATA.length))) return [];
    }
    return listFiles(this.dataset, directory);
  }
}

const DATA = "data/";

function listDirectories(directory: string): Set<string> {
  const entries = listEntries(directory).filter((entry) => entry.isDirectory());
  return new Set(entries.map((entry) => entry.name));
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
