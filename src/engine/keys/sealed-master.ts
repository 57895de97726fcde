import { createCipheriv, createDecipheriv } from "node:crypto";
import { type KeyPlace, MASTER_BYTES } from "./repository-key.ts";

// How slots whose key is symmetric hold the master (docs/formats.md, "Keys").

const CIPHER = "aes-256-gcm";
const TAG_BYTES = 16;
/** The key is that of one slot, so that a nonce is used once. */
const NONCE = Buffer.alloc(12);
const HEX = /^[0-9a-f]*$/;

/** @param key 32 bytes that are used for this once. @returns the sealed master and its tag, hexadecimal. */
export function sealMaster(key: Uint8Array, master: Uint8Array, kind: string, place: KeyPlace): string {
  const cipher = createCipheriv(CIPHER, key, NONCE, { authTagLength: TAG_BYTES }).setAAD(
    boundTo(kind, place),
  );
  return Buffer.concat([cipher.update(master), cipher.final(), cipher.getAuthTag()]).toString("hex");
}

/** Undefined where it was sealed by another key, or for another place. @param sealed as `bytesOfHex` holds it to be. */
export function openMaster(
  key: Uint8Array,
  sealed: Buffer,
  kind: string,
  place: KeyPlace,
): Uint8Array | undefined {
  const tag = sealed.subarray(MASTER_BYTES);
  const decipher = createDecipheriv(CIPHER, key, NONCE, { authTagLength: TAG_BYTES });
  const master = decipher
    .setAAD(boundTo(kind, place))
    .setAuthTag(tag)
    .update(sealed.subarray(0, MASTER_BYTES));
  try {
    decipher.final();
  } catch {
    return undefined; // Node has one error for this, without a code: the tag does not fit
  }
  return master;
}

export const SEALED_MASTER_BYTES = MASTER_BYTES + TAG_BYTES;

/** Bytes that a slot has as hexadecimal text; undefined for anything else, and for another number of them. */
export function bytesOfHex(text: unknown, bytes: number): Buffer | undefined {
  if (typeof text !== "string" || text.length !== 2 * bytes || !HEX.test(text)) return undefined;
  return Buffer.from(text, "hex");
}

function boundTo(kind: string, { repository, epoch }: KeyPlace): Buffer {
  return Buffer.from(`lancedb-backup ${kind} slot 2\n${repository}\n${epoch}\n`);
}
