import { freeMemory, ownedBy } from "./free-memory.ts";

/** A blob fits in, encoded or not. Not more: V8 counts it all, and collects for every 64 MB that are new to it. */
const BUFFER_BYTES = (16 << 20) + 4096;

/** Less is had by itself. */
const LEAST_BYTES = 8 << 20;

/** As many as blobs are written or read at once. */
const MOST_SPARE = 4;

/** Milliseconds after which what nobody has taken goes. */
const IDLE_MS = 1000;

const spare: ArrayBuffer[] = [];
let ending: NodeJS.Timeout | undefined;

/**
 * Memory for a blob: what was given back, where there is any. New memory has to be cleared by the system, page by page, and the
 * collector goes through the whole heap for every few of such buffers. What is in it is left from before.
 */
export function takeMemory(bytes: number): Buffer {
  if (bytes < LEAST_BYTES || bytes > BUFFER_BYTES) return Buffer.allocUnsafeSlow(bytes);
  const buffer = spare.pop();
  return buffer ? Buffer.from(buffer, 0, bytes) : Buffer.allocUnsafeSlow(BUFFER_BYTES).subarray(0, bytes);
}

/** Gives memory of one's own back. @param bytes are empty afterwards, as is everything that shares their ArrayBuffer. */
export function giveMemory(bytes: Uint8Array): void {
  const [buffer] = ownedBy(bytes);
  if (buffer?.byteLength !== BUFFER_BYTES || spare.length === MOST_SPARE) {
    freeMemory(bytes);
    return;
  }
  spare.push(buffer.transfer());
  clearTimeout(ending);
  ending = setTimeout(() => {
    for (const each of spare.splice(0)) each.transfer(0);
  }, IDLE_MS).unref();
}
