import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CorruptError, UnsupportedError } from "../errors.ts";
import { ifThere } from "../fs/held-root.ts";
import { errnoOf, isMissing, toIoError } from "../fs/io.ts";
import type { Placer } from "../fs/placer.ts";
import { isStray } from "../fs/safe-names.ts";
import { advice, type Hint } from "../hint.ts";
import { adviceOf } from "../util/advice-of.ts";
import { indicesWithoutList, leftOutIndex, sizesDiffer } from "./broken-indices.ts";
import type { ImageFile, IndexPlace } from "./fragment-files.ts";
import { type HistoryImage, ImageReader } from "./image.ts";
import { listManifests, type ManifestName, manifestPath } from "./manifest.ts";
import { tagOfFile } from "./tag-file.ts";

export interface CaptureOptions {
  /** Where the files are placed, as a dataset of its own. Made if missing. */
  readonly target: string;
  readonly placer: Pick<Placer, "place" | "copy">;
  /** `latest`: the newest version alone. `all`: every version. */
  readonly history: "latest" | "all";
  /** With `all`, also the versions' transactions, which no reader needs. Default true. */
  readonly transactions?: boolean | undefined;
  /**
   * What becomes of an older version that cannot be captured in full, as one from a time on the LSM write path.
   * Default `fail`; `leave-out` names it in `leftOut`.
   */
  readonly unsupportedVersions?: "fail" | "leave-out" | undefined;
  /** What the message says where an older version fails: how the newest alone can be had. */
  readonly latestAlone?: Hint | string | undefined;
  /** Told of each version that was taken, with its file list. */
  readonly onVersion?: ((image: HistoryImage) => void) | undefined;
  /** Told of each file, with its bytes. */
  readonly onFile?: ((path: string, size: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a capture found and keeps alive. */
export interface Capture {
  /** The newest version. */
  readonly version: number;
  /** SHA-256 of its manifest. */
  readonly digest: string;
  readonly versions: readonly number[];
  readonly files: number;
  readonly bytes: number;
  readonly tags: readonly string[];
  /** What was not taken, in words for a warning: branches, older versions that are damaged, indices without their files. */
  readonly leftOut: readonly string[];
}

/** A cleanup may take old versions while we read; it never takes the newest. So a miss means: look again. */
const ATTEMPTS = 20;
const PAUSE_MS = 10;

export const TAGS = "_refs/tags";

/**
 * Keeps a table's files alive under `target`, from its manifests and never from a walk of the directory, so
 * that the result is whole while others write, optimize and clean up. The newest version comes first; a
 * manifest is placed after the last of its files. Undefined where there is no table.
 *
 * @throws CorruptError where the newest manifest or one of its files is damaged or gone.
 * @throws UnsupportedError where the table cannot be captured in full.
 */
export async function captureTable(dataset: string, options: CaptureOptions): Promise<Capture | undefined> {
  const session = new CaptureSession(dataset, options);
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted();
    const manifests = await listManifests(dataset);
    const newest = manifests[0];
    if (!newest) return undefined;
    const missing = await session.takeHead(newest);
    if (!missing) return session.finish(manifests.slice(1));
    // A cleanup spares the newest version: where that is the newest still, the index was broken before.
    if (missing.index && (await listManifests(dataset))[0]?.name === newest.name) {
      session.leaveOut(missing.index, `${missing.path} is missing`);
      continue;
    }
    if (attempt === ATTEMPTS) {
      const path = join(dataset, missing.path);
      throw new CorruptError(`${path} is missing, and version ${newest.version} needs it.`, { path });
    }
    if (attempt > 0) await sleep(PAUSE_MS);
  }
}

type Missing = Pick<ImageFile, "path" | "index">;

class CaptureSession {
  readonly #dataset: string;
  readonly #options: CaptureOptions;
  readonly #reader: ImageReader;
  readonly #placed = new Map<string, number>();
  readonly #versions: number[] = [];
  readonly #leftOut: string[] = [];
  /** Directories of indices that are not whole: no further file of theirs is taken. */
  readonly #broken = new Set<string>();
  #newest = 0;
  #head: { readonly version: number; readonly digest: string } | undefined;

  constructor(dataset: string, options: CaptureOptions) {
    this.#dataset = dataset;
    this.#options = options;
    this.#reader = new ImageReader(dataset);
  }

  /** An index that lacks a file holds up no row. */
  leaveOut(index: IndexPlace, why: string): void {
    if (this.#broken.has(index.directory)) return;
    this.#broken.add(index.directory);
    this.#leftOut.push(leftOutIndex({ name: index.name, why }));
  }

  /** Places the newest version; answers with the first file that was missing, undefined when all is there. */
  async takeHead(manifest: ManifestName): Promise<Missing | undefined> {
    this.#newest = manifest.version;
    this.#reader.forgetDirectories();
    return this.#try(manifest);
  }

  async finish(older: readonly ManifestName[]): Promise<Capture> {
    const head = this.#head as { version: number; digest: string };
    if (this.#options.history === "all") {
      for (const manifest of older) await this.#takeOlder(manifest);
      await this.#placeOptional(".lance-reserved");
    }
    const tags = await this.#takeTags();
    this.#noteBranches();
    let bytes = 0;
    for (const size of this.#placed.values()) bytes += size;
    return {
      version: head.version,
      digest: head.digest,
      versions: this.#versions.sort((a, b) => a - b),
      files: this.#placed.size,
      bytes,
      tags,
      leftOut: this.#leftOut,
    };
  }

  async #takeOlder(manifest: ManifestName): Promise<void> {
    this.#options.signal?.throwIfAborted();
    const path = manifestPath(manifest.name);
    try {
      let missing = await this.#try(manifest);
      if (missing === undefined || !this.#exists(path)) return; // else cleaned up by somebody while we read
      missing = await this.#try(manifest);
      while (missing?.index && this.#exists(path)) {
        this.leaveOut(missing.index, `${missing.path} is missing`);
        missing = await this.#try(manifest);
      }
      if (missing && this.#exists(path))
        this.#leftOut.push(`version ${manifest.version}: ${missing.path} is missing`);
    } catch (error) {
      if (isUnsupported(error) && this.#options.unsupportedVersions !== "leave-out")
        throw onlyOlder(error, manifest.version, this.#options.latestAlone);
      if (!isUnsupported(error) && !(error instanceof CorruptError)) throw error;
      this.#leftOut.push(`version ${manifest.version}: ${error.message}`);
    }
  }

  /** Answers with the first file that was missing. */
  async #try(manifest: ManifestName): Promise<Missing | undefined> {
    try {
      return await this.#take(await this.#reader.readUnseen(manifest));
    } catch (error) {
      if (isMissing(error)) return { path: manifestPath(manifest.name) };
      throw error;
    }
  }

  /** Answers with the first file that was missing; then the next version is to be listed whole. */
  async #take(image: HistoryImage): Promise<Missing | undefined> {
    try {
      const missing = await this.#placeImage(image);
      if (missing !== undefined) this.#reader.forgetSeen();
      return missing;
    } catch (error) {
      this.#reader.forgetSeen();
      throw error;
    }
  }

  async #placeImage(image: HistoryImage): Promise<Missing | undefined> {
    for (const file of image.files) {
      if (this.#placed.has(file.path) || (file.index && this.#broken.has(file.index.directory))) continue;
      if (!(await this.#place(file))) return file;
    }
    for (const index of indicesWithoutList(image)) {
      if (!this.#exists(index.directory)) this.leaveOut(index, `${index.directory} is missing`);
    }
    const { history, transactions = true } = this.#options;
    if (history === "all" && transactions && image.parsed.message.transactionFile) {
      await this.#placeOptional(`_transactions/${image.parsed.message.transactionFile}`);
    }
    const path = manifestPath(image.manifest.name);
    // The newest manifest gets a body of its own: LanceDB never synced it, and all else hangs on it.
    const how = image.version === this.#newest ? "copy" : "place";
    if (!(await this.#place({ path, size: image.manifestBytes }, how))) return { path };
    this.#versions.push(image.version);
    if (image.version === this.#newest) this.#head = { version: image.version, digest: image.digest() };
    this.#options.onVersion?.(image);
    return undefined;
  }

  /** False where the file is not there. */
  async #place(file: ImageFile, how: "place" | "copy" = "place"): Promise<boolean> {
    if (this.#placed.has(file.path)) return true;
    const { placer, target } = this.#options;
    for (let again = false; ; again = true) {
      try {
        await placer[how](this.#dataset, target, file.path);
        break;
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === "EEXIST") break;
        if (errno !== "ENOENT") throw error;
        if (!this.#exists(file.path)) return false;
        if (again) throw toIoError(error, "link or copy to", target); // it is the target that is missing
      }
    }
    const path = join(target, file.path);
    const size = sizeOf(path);
    if (file.size !== undefined && size !== file.size && file.index) {
      this.leaveOut(file.index, sizesDiffer(file.path, size, file.size));
      return true;
    }
    if (file.size !== undefined && size !== file.size) {
      const source = join(this.#dataset, file.path);
      throw new CorruptError(`${source} has ${size} bytes where its manifest says ${file.size}.`, {
        path: source,
      });
    }
    this.#placed.set(file.path, size);
    this.#options.onFile?.(file.path, size);
    return true;
  }

  async #placeOptional(path: string): Promise<void> {
    await this.#place({ path, size: undefined });
  }

  async #takeTags(): Promise<string[]> {
    const tags = this.#list(TAGS)
      .map(tagOfFile)
      .filter((tag) => tag !== undefined);
    for (const tag of tags) await this.#placeOptional(`${TAGS}/${tag}.json`);
    return tags;
  }

  #noteBranches(): void {
    const files = this.#list("_refs/branches").filter((name) => !isStray(name));
    const branches = files.map((name) => name.replace(/\.json$/, ""));
    if (branches.length > 0) this.#leftOut.push(`branches: ${branches.join(", ")}`);
  }

  #list(directory: string): string[] {
    const path = join(this.#dataset, directory);
    return ifThere(path, () => readdirSync(path)) ?? [];
  }

  #exists(path: string): boolean {
    return isThere(join(this.#dataset, path));
  }
}

function isThere(path: string): boolean {
  return ifThere(path, () => statSync(path, { throwIfNoEntry: false })) !== undefined;
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (error) {
    throw toIoError(error, "look at", path);
  }
}

/** What a version uses, and no refusal of the placer, which has the system's error as its cause. */
function isUnsupported(error: unknown): error is UnsupportedError {
  return error instanceof UnsupportedError && error.cause === undefined;
}

function onlyOlder(
  error: UnsupportedError,
  version: number,
  how: Hint | string | undefined,
): UnsupportedError {
  return new UnsupportedError(
    advice`${adviceOf(error)} Only version ${version} and perhaps others from before the newest do: the newest alone can be backed up${how === undefined ? "" : advice`, ${how}`}.`,
  );
}
