import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { errnoOf, reasonOf } from "../io.ts";
import { takeOwner } from "../take-owner.ts";

export interface CopyTask {
  readonly source: string;
  /** Bytes that it is thought to have. */
  readonly size: number;
  /** Where the copy goes: a name that nothing has. */
  readonly target: string;
  /** The directory of the blobs, where the content may be already: then it is hashed first, and not copied. */
  readonly unlessAt?: string | undefined;
  /** Put the copy on the disk before answering. */
  readonly sync: boolean;
}

export interface CopyResult {
  readonly sha256: string;
  readonly bytes: number;
  readonly copied: boolean;
}

const PIECE_BYTES = 1 << 20;

/** Write bits, which a blob does not have. */
const WRITE_BITS = 0o222;

/** Files up to this size are read at once. */
export const SMALL_BYTES = PIECE_BYTES;

/** Copies a file and answers with the digest of the copy. It gets the source's mode without write bits. */
function copyTask(task: CopyTask): CopyResult {
  return task.size <= SMALL_BYTES ? copySmall(task) : copyLarge(task);
}

/** One read serves for hash and copy. */
function copySmall({ source, target, unlessAt, sync }: CopyTask): CopyResult {
  const content = readWhole(source);
  if (content === undefined) return copyLarge({ source, size: SMALL_BYTES + 1, target, unlessAt, sync });
  const found = { sha256: createHash("sha256").update(content).digest("hex"), bytes: content.length };
  if (isThere(unlessAt, found)) return { ...found, copied: false };
  try {
    writeFileSync(target, content, { flag: "wx", mode: 0o600, flush: sync });
    takeOwner(target);
    chmodSync(target, modeFor(source));
  } catch (error) {
    remove(target);
    throw error;
  }
  return { ...found, copied: true };
}

/** Undefined where it is larger than was thought. */
function readWhole(path: string): Buffer | undefined {
  const piece = sharedPiece();
  const file = openSync(path, "r");
  try {
    let length = 0;
    for (;;) {
      const count = readSync(file, piece, length, piece.length - length, length);
      if (count === 0) return piece.subarray(0, length);
      length += count;
      if (length === piece.length) return fstatSync(file).size === length ? piece : undefined;
    }
  } finally {
    closeSync(file);
  }
}

/**
 * The copy is hashed, so that the name says what was written and not what was read. Without COPYFILE_EXCL ext4 begins
 * to write when the copy is closed, and the next file is copied meanwhile (the sync then takes 7 ms in place of 900).
 */
function copyLarge({ source, target, unlessAt, sync }: CopyTask): CopyResult {
  if (unlessAt !== undefined) {
    const found = hashFile(source);
    if (isThere(unlessAt, found)) return { ...found, copied: false };
  }
  try {
    copyFileSync(source, target);
    takeOwner(target);
    const found = hashFile(target);
    chmodSync(target, modeFor(source));
    if (sync) syncNow(target);
    return { ...found, copied: true };
  } catch (error) {
    remove(target);
    throw error;
  }
}

function isThere(blobs: string | undefined, { sha256, bytes }: { sha256: string; bytes: number }): boolean {
  if (blobs === undefined) return false;
  return statSync(`${blobs}/${sha256.slice(0, 2)}/${sha256}`, { throwIfNoEntry: false })?.size === bytes;
}

function modeFor(source: string): number {
  return statSync(source).mode & 0o777 & ~WRITE_BITS;
}

function syncNow(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    return; // the directory of this run goes as a whole; the first error is what matters
  }
}

let piece: Buffer | undefined;

/** Memory that a thread uses again for each file: what is in it is good until the next file is read. */
function sharedPiece(): Buffer {
  piece ??= Buffer.allocUnsafeSlow(PIECE_BYTES);
  return piece;
}

/** SHA-256 of a file, in lower-case hexadecimal, and its bytes. Reads it in pieces; holds the thread. */
function hashFile(path: string): { sha256: string; bytes: number } {
  const file = openSync(path, "r");
  try {
    const hash = createHash("sha256");
    const piece = sharedPiece();
    let bytes = 0;
    for (;;) {
      const count = readSync(file, piece, 0, piece.length, bytes);
      if (count === 0) return { sha256: hash.digest("hex"), bytes };
      hash.update(count === piece.length ? piece : piece.subarray(0, count));
      bytes += count;
    }
  } finally {
    closeSync(file);
  }
}

interface CheckTask {
  /** What the caller calls the file. */
  readonly name: string;
  readonly path: string;
}

type CheckResult =
  | { readonly ok: true; readonly sha256: string; readonly bytes: number }
  | { readonly ok: false; readonly message: string; readonly code: string | undefined };

/** Hashes a file. One that cannot be read is an answer, so that the others are looked at all the same. */
function checkTask({ path }: CheckTask): CheckResult {
  try {
    return { ok: true, ...hashFile(path) };
  } catch (error) {
    return {
      ok: false,
      message: reasonOf(error),
      code: errnoOf(error),
    };
  }
}

export interface RestoreTask {
  /** The blob. */
  readonly source: string;
  /** Where the file goes: a name that nothing has. */
  readonly target: string;
  /** Read the copy back and hash it. */
  readonly hash: boolean;
  /** Put the file on the disk before answering. */
  readonly sync: boolean;
}

interface RestoreResult {
  readonly bytes: number;
  /** Of what was written; undefined where it was not asked for. */
  readonly sha256: string | undefined;
}

const OWNER_WRITE = 0o200;

/** Copies a blob to a file's place. It gets the blob's mode, and its owner may write to it as to any file. */
function restoreTask({ source, target, hash, sync }: RestoreTask): RestoreResult {
  copyFileSync(source, target);
  takeOwner(target);
  const { size, mode } = statSync(target);
  chmodSync(target, (mode & 0o777) | OWNER_WRITE);
  const found = hash ? hashFile(target) : { bytes: size, sha256: undefined };
  if (sync) syncNow(target);
  return found;
}

/** What a worker thread can be asked to do. Each task is done in one go, and holds its thread meanwhile. */
export const TASKS = {
  check: checkTask,
  copy: copyTask,
  restore: restoreTask,
  hash: ({ path }: { path: string }) => hashFile(path),
};

export type TaskName = keyof typeof TASKS;
export type TaskInput<K extends TaskName> = Parameters<(typeof TASKS)[K]>[0];
export type TaskResult<K extends TaskName> = ReturnType<(typeof TASKS)[K]>;
