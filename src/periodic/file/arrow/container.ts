import { Buffer } from "node:buffer";
import { FORMAT } from "../limits.ts";

/**
 * The container (docs/formats.md): head; Arrow IPC streams, one a part; index as JSON; its length, u64 LE;
 * SHA-256 of everything before it. The head: these 8 bytes, the format's number and a zero, u32 LE each.
 */
export const MAGIC = Buffer.from("LANCEBAK");
export const HEAD_BYTES = 16;
export const LENGTH_BYTES = 8;
export const DIGEST_BYTES = 32;

/** What ends an Arrow IPC stream. */
export const END_OF_STREAM = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);

export function containerHead(): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(head);
  head.writeUInt32LE(FORMAT, MAGIC.byteLength);
  return head;
}

export function lengthBytes(length: number): Uint8Array {
  const bytes = Buffer.alloc(LENGTH_BYTES);
  bytes.writeBigUInt64LE(BigInt(length));
  return bytes;
}
