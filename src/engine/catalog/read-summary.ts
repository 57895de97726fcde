import { CorruptError } from "../../errors.ts";
import type { Storage } from "../../storage/storage.ts";
import { decodeSummary } from "../format/decode-snapshot.ts";
import { snapshotName } from "../format/names.ts";
import type { StoredSnapshot } from "../snapshot.ts";

/** Most summaries fit; where one does not, the next read takes twice as much. */
const FIRST_READ_BYTES = 16 * 1024;
/** A first line of more is none: some 100,000 tables. */
const LONGEST_LINE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * The summary of a snapshot, by reading the first line of its document. Its checksum is not looked at.
 *
 * @throws CorruptError, UnsupportedError. @throws IoError with `errno` `ENOENT` where there is no such document.
 */
export async function readSummary(
  storage: Storage,
  id: string,
  signal?: AbortSignal,
): Promise<StoredSnapshot> {
  const name = snapshotName(id);
  const place = `${storage.location}/${name}`;
  const pieces: Uint8Array[] = [];
  let offset = 0;
  for (let length = FIRST_READ_BYTES; offset < LONGEST_LINE_BYTES; length *= 2) {
    const before = offset;
    for await (const piece of storage.read(name, { offset, length, signal })) {
      const end = piece.indexOf(NEWLINE);
      pieces.push(end < 0 ? piece : piece.subarray(0, end));
      offset += piece.length;
      if (end >= 0) return decodeSummary(Buffer.concat(pieces).toString("utf8"), id, place);
    }
    if (offset === before) break;
  }
  throw new CorruptError(`The snapshot document ${place} is damaged: it has no whole first line.`, {
    path: place,
  });
}
