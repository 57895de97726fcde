import { createHash, randomUUID } from "node:crypto";
import { lstatSync, mkdirSync, statSync } from "node:fs";
import { readdir, readFile, rename, rm, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf, isMissing, reasonOf } from "./io.ts";
import { isRoot, takeOwner } from "./take-owner.ts";

/** SHA-256, before the bytes. */
const DIGEST_BYTES = 32;
/** A file of this name is being written, or was when its process ended. */
const UNFINISHED = /^\..+\.tmp$/;
const UNFINISHED_MS = 3_600_000;
/** When it is full, so much of its size stays. */
const STAYS = 0.75;

/**
 * Bytes that can be had again elsewhere, by their keys, as files in a directory of the user's own that nobody else can
 * read. Anybody may delete any of it at any time, and other processes may use it too. What is not what was written under
 * that key is passed over. It never throws: why nothing could be kept is told once.
 */
export class FileCache {
  readonly #directory: string;
  readonly #mostBytes: number;
  /** Of a file; what is larger is not kept. */
  readonly mostOfOne: number;
  readonly #onTrouble: (reason: string) => void;
  #isTold = false;
  /** Bytes written since the directory was looked through; undefined: it was not yet. */
  #written: number | undefined;
  #trimming: Promise<void> | undefined;

  /**
   * @param mostBytes of all files in it: beyond them the oldest are removed.
   * @param onTrouble is told why something could not be kept, once.
   */
  constructor(directory: string, mostBytes: number, onTrouble: (reason: string) => void) {
    this.#directory = directory;
    this.#mostBytes = mostBytes;
    this.mostOfOne = mostBytes / 4;
    this.#onTrouble = onTrouble;
  }

  /** @param key a relative path of plain names. */
  async get(key: string): Promise<Buffer | undefined> {
    try {
      if (!this.#isOurs()) return undefined;
      const file = await readFile(join(this.#directory, key));
      const bytes = file.subarray(DIGEST_BYTES);
      return file.subarray(0, DIGEST_BYTES).equals(digestOf(key, bytes)) ? bytes : undefined;
    } catch (error) {
      if (!isMissing(error)) this.#tell(error);
      return undefined;
    }
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.mostOfOne) return;
    const path = join(this.#directory, key);
    try {
      makePrivate(this.#directory);
      if (!this.#isOurs()) return;
      makePrivate(dirname(path));
      await writeWhole(path, Buffer.concat([digestOf(key, bytes), bytes]));
      await this.#makeRoom(bytes.length);
    } catch (error) {
      this.#tell(error);
    }
  }

  async drop(key: string): Promise<void> {
    try {
      if (this.#isOurs()) await unlink(join(this.#directory, key));
    } catch (error) {
      if (!isMissing(error)) this.#tell(error);
    }
  }

  /** Where others could write, they could write anything. */
  #isOurs(): boolean {
    const found = lstatSync(this.#directory, { throwIfNoEntry: false });
    if (!found) return false;
    const uid = process.geteuid?.();
    const isOwn = uid === undefined || found.uid === uid || this.#isOfAround(found.uid);
    const isPrivate = uid === undefined || (found.mode & 0o022) === 0;
    if (found.isDirectory() && isOwn && isPrivate) return true;
    this.#tell(new Error(`${this.#directory} is no directory that this user alone can write to`));
    return false;
  }

  /** What root makes belongs to the owner of the directory around it. */
  #isOfAround(uid: number): boolean {
    return isRoot() && statSync(dirname(this.#directory)).uid === uid;
  }

  #tell(error: unknown): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#onTrouble(reasonOf(error));
  }

  async #makeRoom(bytes: number): Promise<void> {
    this.#written = this.#written === undefined ? undefined : this.#written + bytes;
    if (this.#written !== undefined && this.#written < this.#mostBytes / 16) return;
    this.#written = 0;
    this.#trimming ??= this.#trim().finally(() => {
      this.#trimming = undefined;
    });
    await this.#trimming;
  }

  /** Removes the oldest where there are too many bytes, and what dead processes left half-written. */
  async #trim(): Promise<void> {
    const files: { path: string; size: number; mtimeMs: number }[] = [];
    for (const entry of await readdir(this.#directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const found = await stat(path).catch(ignoreMissing);
      if (!found) continue;
      const { size, mtimeMs } = found;
      const isLeft = UNFINISHED.test(entry.name) && Date.now() - mtimeMs > UNFINISHED_MS;
      if (isLeft) await unlink(path).catch(ignoreMissing);
      else files.push({ path, size, mtimeMs });
    }
    let bytes = files.reduce((sum, { size }) => sum + size, 0);
    if (bytes <= this.#mostBytes) return;
    for (const { path, size } of files.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (bytes <= this.#mostBytes * STAYS) return;
      await unlink(path).catch(ignoreMissing);
      bytes -= size;
    }
  }
}

/** With the key: what lies under another one is not taken for it. */
function digestOf(key: string, bytes: Uint8Array): Buffer {
  return createHash("sha256").update(key).update("\0").update(bytes).digest();
}

function makePrivate(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })) return;
  try {
    mkdirSync(directory, { mode: 0o700 });
    takeOwner(directory);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return;
    if (errnoOf(error) !== "ENOENT" || dirname(directory) === directory) throw error;
    makePrivate(dirname(directory));
    makePrivate(directory);
  }
}

/** Whole or not at all; what a power cut leaves is known by its digest. */
async function writeWhole(path: string, bytes: Buffer): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    await writeFile(temporary, bytes, { mode: 0o600, flag: "wx" });
    takeOwner(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function ignoreMissing(error: unknown): undefined {
  if (isMissing(error)) return undefined;
  throw error;
}
