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
import { takeOwner } from "../take-owner.ts";
import { hashFile, PIECE_BYTES, sharedPiece } from "./hash-file.ts";

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

/** Write bits, which a blob does not have. */
const WRITE_BITS = 0o222;

/** Files up to this size are read at once. */
export const SMALL_BYTES = PIECE_BYTES;

/** Copies a file and answers with the digest of the copy. It gets the source's mode without write bits. */
export function copyTask(task: CopyTask): CopyResult {
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
