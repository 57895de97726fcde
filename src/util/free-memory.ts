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
export function freeMemory({ buffer }: Uint8Array): void {
  if (!types.isArrayBuffer(buffer) || buffer.byteLength <= LEAST_BYTES) return;
  if (!isMarkedAsUntransferable(buffer)) buffer.transfer(0); // Node's pool is
}
