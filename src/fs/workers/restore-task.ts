import { chmodSync, closeSync, copyFileSync, fsyncSync, openSync, statSync } from "node:fs";
import { takeOwner } from "../take-owner.ts";
import { hashFile } from "./hash-file.ts";

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

export interface RestoreResult {
  readonly bytes: number;
  /** Of what was written; undefined where it was not asked for. */
  readonly sha256: string | undefined;
}

const OWNER_WRITE = 0o200;

/** Copies a blob to a file's place. It gets the blob's mode, and its owner may write to it as to any file. */
export function restoreTask({ source, target, hash, sync }: RestoreTask): RestoreResult {
  copyFileSync(source, target);
  takeOwner(target);
  const { size, mode } = statSync(target);
  chmodSync(target, (mode & 0o777) | OWNER_WRITE);
  const found = hash ? hashFile(target) : { bytes: size, sha256: undefined };
  if (sync) syncNow(target);
  return found;
}

function syncNow(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
