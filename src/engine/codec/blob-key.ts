import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync } from "node:crypto";
import { isDigest } from "../../fs/fields.ts";
import { freeMemory } from "../../util/free-memory.ts";
import { SALT_BYTES, TAG_BYTES } from "./blob-head.ts";

// How encoded blobs are held to be those that were written: with a key by AES-256-GCM, without one by SHA-256.

/** The secret of an epoch by which its blobs are encrypted. */
export interface BlobKey {
  /** From 1 on. */
  readonly epoch: number;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

const KEY_BYTES = 32;
const INFO = "lancedb-backup blob 2";
const CIPHER = "aes-256-gcm";
/** Encrypted at a time: what comes of it is copied while the processor has it near. */
const STRETCH_BYTES = 128 * 1024;

/** Which of a blob's tags: the head is number 0, and no last one. */
export interface TagPlace {
  readonly number: number;
  readonly isLast: boolean;
}

export const HEAD_TAG: TagPlace = { number: 0, isLast: false };

/** Makes and checks the tags of one blob, whose head is bound to each of them. */
export interface BlobSeal {
  /** Puts what is stored into `target`, which is as long as `data` and may be its memory, and answers with the tag. */
  seal(place: TagPlace, data: Uint8Array, target: Uint8Array): Uint8Array;
  /** What was sealed; undefined where it, its place, the head or the key are not those. */
  open(place: TagPlace, stored: Uint8Array, tag: Uint8Array): Uint8Array | undefined;
}

/** @param head its bytes, without the tag */
export function checkedSeal(head: Buffer): BlobSeal {
  const tagOf = (place: TagPlace, data: Uint8Array) =>
    createHash("sha256").update(head).update(nonceOf(place)).update(data).digest().subarray(0, TAG_BYTES);
  return {
    seal(place, data, target) {
      if (target !== data) target.set(data);
      return tagOf(place, data);
    },
    open: (place, stored, tag) => (tagOf(place, stored).equals(tag) ? stored : undefined),
  };
}

/**
 * The construction STREAM: the nonce counts, and tells the last segment from the others. A nonce is used once since the
 * key is that of one blob.
 *
 * @param salt 32 random bytes that no other blob of this key has
 */
export function encryptedSeal(head: Buffer, salt: Uint8Array, { key }: BlobKey): BlobSeal {
  if (key.length !== KEY_BYTES || salt.length !== SALT_BYTES) {
    throw new TypeError(`A key of blobs has ${KEY_BYTES} bytes, and their salt ${SALT_BYTES}.`);
  }
  const own = Buffer.from(hkdfSync("sha256", key, salt, INFO, KEY_BYTES));
  return {
    seal(place, data, target) {
      const cipher = createCipheriv(CIPHER, own, nonceOf(place), { authTagLength: TAG_BYTES }).setAAD(head);
      for (let at = 0; at < data.length; at += STRETCH_BYTES) {
        const stored = cipher.update(data.subarray(at, at + STRETCH_BYTES));
        target.set(stored, at);
        freeMemory(stored);
      }
      cipher.final(); // GCM holds nothing back
      return cipher.getAuthTag();
    },
    open(place, stored, tag) {
      const decipher = createDecipheriv(CIPHER, own, nonceOf(place), { authTagLength: TAG_BYTES });
      const data = decipher.setAAD(head).setAuthTag(tag).update(stored);
      try {
        decipher.final();
      } catch {
        return undefined; // Node has one error for this, without a code: the tag does not fit
      }
      return data;
    },
  };
}

function nonceOf({ number, isLast }: TagPlace): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(number, 7);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

/**
 * What a blob is called in an encrypted repository, so that nobody who knows a file sees that it is there.
 *
 * @param sha256 of the plain content, 64 hexadecimal digits
 * @param nameKey of the epoch, 32 bytes
 * @returns 64 hexadecimal digits
 */
export function blobNameUnderKey(sha256: string, nameKey: Uint8Array): string {
  if (!isDigest(sha256)) throw new TypeError("A SHA-256 has 64 hexadecimal digits.");
  if (nameKey.length !== KEY_BYTES) throw new TypeError(`A key of names has ${KEY_BYTES} bytes.`);
  return createHmac("sha256", nameKey).update(sha256, "hex").digest("hex");
}
