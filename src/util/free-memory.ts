import { types } from "node:util";
import { isMarkedAsUntransferable } from "node:worker_threads";

/** What is smaller the memory's management has at hand anyway. */
const LEAST_BYTES = 64 * 1024;

/**
 * Gives the memory of bytes that nobody will look at again back at once, where it is theirs alone. The collector would do so some hundred
 * megabytes later, and until then every new buffer is memory that the system has to clear.
 *
 * @param bytes are empty afterwards, as is everything that shares their ArrayBuffer.
 */
export function freeMemory(bytes: Uint8Array): void {
  for (const buffer of ownedBy(bytes)) if (buffer.byteLength > LEAST_BYTES) buffer.transfer(0);
}

/**
 * The same of a piece that came from elsewhere, and of small ones, too: what a store answers with comes by 64 KiB each. Where a
 * piece is part of something larger, the rest may be the next one's, and is left alone.
 */
export function freePiece(piece: Uint8Array): void {
  const [buffer] = ownedBy(piece);
  if (buffer && !buffer.detached && piece.byteLength === buffer.byteLength) buffer.transfer(0);
}

/** The memory of bytes, where it can be given to another thread; none where it is Node's pool, or shared. */
export function ownedBy({ buffer }: Uint8Array): ArrayBuffer[] {
  if (!types.isArrayBuffer(buffer) || isMarkedAsUntransferable(buffer)) return [];
  return [buffer];
}
