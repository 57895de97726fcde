import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";

export const PIECE_BYTES = 1 << 20;

let piece: Buffer | undefined;

/** Memory that a thread uses again for each file: what is in it is good until the next file is read. */
export function sharedPiece(): Buffer {
  piece ??= Buffer.allocUnsafeSlow(PIECE_BYTES);
  return piece;
}

/** SHA-256 of a file, in lower-case hexadecimal, and its bytes. Reads it in pieces; holds the thread. */
export function hashFile(path: string): { sha256: string; bytes: number } {
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
