import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { ifThereLater } from "../../../fs/held-root.ts";
import { toIoError } from "../../../fs/io.ts";
import type { SnapshotFile } from "../snapshot-view.ts";
import type { TablePlace } from "./live-table.ts";

/** Bytes from `start` to before `end`. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** How a live file differs from the snapshot's. */
export interface Difference {
  /** Whether the blob has the bytes that its name says: without that nothing can be said or mended. */
  readonly blobIsSound: boolean;
  /** Where they differ, ascending; what one of them does not have at its end is a difference. */
  readonly stretches: readonly Stretch[];
  /** Bytes that differ. */
  readonly count: number;
}

/** Of files that differ all over no more is remembered; the last stretch then runs to the last difference. */
const MOST_STRETCHES = 10_000;

/** Compares a live file with its blob, byte by byte. @throws IoError */
export async function compareWithBlob(
  { id, blobs }: TablePlace,
  path: string,
  known: SnapshotFile,
  signal?: AbortSignal,
): Promise<Difference> {
  const live = await openLive(path);
  try {
    const hash = createHash("sha256");
    const found = new Stretches();
    let offset = 0;
    for await (const piece of blobs.read({ table: id, ...known }, signal)) {
      hash.update(piece);
      const other = await readAt(live, offset, piece.length);
      found.add(offset, piece, other);
      offset += piece.length;
    }
    const size = (await live?.stat())?.size ?? 0;
    if (size > offset) found.addStretch(offset, size);
    const blobIsSound = hash.digest("hex") === known.sha256;
    return { blobIsSound, stretches: found.list, count: found.count };
  } finally {
    await live?.close();
  }
}

class Stretches {
  readonly list: { start: number; end: number }[] = [];
  count = 0;

  add(offset: number, a: Uint8Array, b: Uint8Array): void {
    const shared = Math.min(a.length, b.length);
    if (Buffer.compare(a.subarray(0, shared), b.subarray(0, shared)) !== 0) {
      for (let at = 0; at < shared; at++) if (a[at] !== b[at]) this.addStretch(offset + at, offset + at + 1);
    }
    if (a.length > shared) this.addStretch(offset + shared, offset + a.length);
  }

  addStretch(start: number, end: number): void {
    this.count += end - start;
    const last = this.list.at(-1);
    if (last && (last.end === start || this.list.length === MOST_STRETCHES)) last.end = end;
    else this.list.push({ start, end });
  }
}

async function openLive(path: string): Promise<FileHandle | undefined> {
  try {
    return await ifThereLater(path, () => open(path, "r"));
  } catch (error) {
    throw toIoError(error, "read", path);
  }
}

/** What cannot be read differs: a disk gives errors for sectors that it knows to be bad. */
async function readAt(file: FileHandle | undefined, offset: number, length: number): Promise<Uint8Array> {
  const piece = Buffer.allocUnsafe(file ? length : 0);
  let filled = 0;
  while (file && filled < length) {
    try {
      const { bytesRead } = await file.read(piece, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    } catch {
      break;
    }
  }
  return piece.subarray(0, filled);
}
