import { statSync } from "node:fs";
import { join } from "node:path";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import { CorruptError } from "../../../errors.ts";
import { digestOf, type Manifest, parseManifest } from "../../../lance/manifest.ts";
import type { SnapshotFile } from "../snapshot-view.ts";
import { readFile } from "./blob-bytes.ts";

/**
 * What a live manifest is beside the snapshot's of the same number. After a drop the same numbers come again, and a
 * table that was restored goes on with other commits under numbers that were used: these are no damage.
 */
export type Verdict =
  | { readonly kind: "other" }
  | { readonly kind: "damaged"; readonly sound: Buffer }
  /** It does not parse: damaged for sure, but of which commit is to be told by the table's other files. */
  | { readonly kind: "unreadable"; readonly sound: Buffer | undefined; readonly why: string };

/** Commits have random ids of 36 characters; two that differ in no more than these are one, damaged. */
const MOST_FLIPPED = 4;

/** @param live its bytes, which differ from the snapshot's. */
export async function judgeManifest(
  blobs: BlobStore,
  dataset: string,
  known: SnapshotFile,
  version: number,
  live: Buffer,
): Promise<Verdict> {
  const blob = await readFile(blobs, { table: dataset, ...known });
  const found = tryParse(live, version, known.path);
  const isSameFile = wasNotWritten(dataset, known);
  if (typeof blob === "string") {
    const damaged = found === undefined || isSameFile;
    return damaged ? { kind: "unreadable", sound: undefined, why: blob } : { kind: "other" };
  }
  if (isSameFile) return { kind: "damaged", sound: blob };
  if (!found) return { kind: "unreadable", sound: blob, why: "" };
  const wanted = tryParse(blob, version, known.path);
  return wanted && isSameCommit(wanted, found) ? { kind: "damaged", sound: blob } : { kind: "other" };
}

/** The very file that the snapshot was made of: no program has written to it since, so that bits that differ rotted. */
export function wasNotWritten(dataset: string, { path, inode, mtimeMs }: SnapshotFile): boolean {
  const now = statSync(join(dataset, path), { throwIfNoEntry: false });
  return now?.ino === inode && now.mtimeMs === mtimeMs;
}

export function isSnapshots(bytes: Buffer, known: SnapshotFile | undefined): boolean {
  return known?.size === bytes.length && digestOf(bytes) === known.sha256;
}

/** Undefined where the bytes are no whole manifest of that version. */
export function tryParse(bytes: Buffer, version: number, path: string): Manifest | undefined {
  try {
    return parseManifest(bytes, version, path);
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}

/** A commit's id stands in its manifest twice: as the name of its transaction's file, and in the transaction. */
function isSameCommit(a: Manifest, b: Manifest): boolean {
  return (
    differences(a.message.transactionFile, b.message.transactionFile) <= MOST_FLIPPED ||
    differences(a.transaction?.uuid ?? "", b.transaction?.uuid ?? "") <= MOST_FLIPPED
  );
}

function differences(a: string, b: string): number {
  if (a === "" || a.length !== b.length) return Number.POSITIVE_INFINITY;
  let count = 0;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) count++;
  return count;
}
