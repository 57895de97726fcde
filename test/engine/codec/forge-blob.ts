import { createCipheriv, createHash, createHmac, hkdfSync } from "node:crypto";

// Encoded blobs as docs/formats.md describes them, put together by hand: good ones, and such as no writer of ours makes.

export const MIB = 1024 * 1024;

/** What is stored of a segment, before encryption. */
export interface ForgedBlob {
  readonly segments: readonly Buffer[];
  /** Bytes of the content. */
  readonly size: number;
  readonly name: string;
  readonly compression?: number;
  readonly encryption?: { readonly key: Buffer; readonly epoch: number; readonly salt: Buffer };
  /** Changes the head, before it gets its tag. */
  readonly touch?: (head: Buffer) => unknown;
}

export function forgeBlob(blob: ForgedBlob): Buffer {
  const head = forgeHead(blob);
  const key =
    blob.encryption &&
    Buffer.from(hkdfSync("sha256", blob.encryption.key, blob.encryption.salt, "lancedb-backup blob 2", 32));
  const count = blob.segments.length;
  const sealed = blob.segments.map((segment, index) => seal(head, key, index + 1, count, segment));
  return Buffer.concat([head, seal(head, key, 0, count, Buffer.alloc(0)), ...sealed]);
}

function forgeHead({ segments, size, name, compression = 0, encryption, touch }: ForgedBlob): Buffer {
  const head = Buffer.alloc(84 + 4 * segments.length);
  head.write("LANCBLOB", "latin1");
  head.set([2, compression, encryption ? 1 : 0], 8);
  head.writeUInt32LE(encryption?.epoch ?? 0, 12);
  encryption?.salt.copy(head, 16);
  Buffer.from(name, "hex").copy(head, 48);
  head.writeUInt32LE(size, 80);
  for (const [index, { length }] of segments.entries()) head.writeUInt32LE(length, 84 + 4 * index);
  touch?.(head);
  return head;
}

function seal(head: Buffer, key: Buffer | undefined, counter: number, count: number, data: Buffer): Buffer {
  const nonce = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, counter, counter === count ? 1 : 0]);
  if (key === undefined) {
    const digest = createHash("sha256")
      .update(Buffer.concat([head, nonce, data]))
      .digest();
    return Buffer.concat([data, digest.subarray(0, 16)]);
  }
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(head);
  return Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
}

/** The blob in its parts: its head with the tag, then each segment with its own. */
export function partsOf(blob: Buffer): Buffer[] {
  const count = Math.max(1, Math.ceil(blob.readUInt32LE(80) / MIB));
  const start = 84 + 4 * count + 16;
  const parts = [blob.subarray(0, start)];
  for (let index = 0, at = start; index < count; index++) {
    const length = blob.readUInt32LE(84 + 4 * index) + 16;
    parts.push(blob.subarray(at, at + length));
    at += length;
  }
  return parts;
}

export function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

export function nameUnderKey(content: Uint8Array, nameKey: Uint8Array): string {
  return createHmac("sha256", nameKey).update(createHash("sha256").update(content).digest()).digest("hex");
}

/** Bytes that nothing compresses, the same for the same seed. */
export function noise(length: number, seed: string): Buffer {
  return createHash("shake256", { outputLength: length }).update(seed).digest();
}

/** Bytes that compress well, and are nowhere the same. */
export function words(length: number, seed: string): Buffer {
  const rows = Array.from({ length: Math.ceil(length / 40) }, (_, row) =>
    `{"row":${row},"of":"${seed}","is":"a line of text"}\n`.padStart(60),
  );
  return Buffer.from(rows.join("")).subarray(0, length);
}
