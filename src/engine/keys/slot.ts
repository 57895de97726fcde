import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { CorruptError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import type { Storage } from "../../storage/storage.ts";
import { type DocumentKind, Documents } from "../documents.ts";
import { FORMAT, KEYS } from "../format/names.ts";
import type { JsonObject } from "../snapshot.ts";
import type { EpochKeys, EpochMaster } from "./epoch-keys.ts";
import { MASTER_BYTES } from "./repository-key.ts";

// Objects `keys/<id>.json` (docs/formats.md, "Keys"): each opens the repository for one key.

/** What a slot says in the open. It is to be believed when `openSeal` has held it to its master. */
export interface Slot {
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** Of the key that opens it. */
  readonly kind: string;
  /** The id of the repository. */
  readonly repository: string;
  readonly epoch: number;
  /** Of the master that it holds, as `EpochKeys.check`. */
  readonly check: string;
  readonly createdAt: Date;
  /** What its kind of key has made, and reads. */
  readonly fields: JsonObject;
}

export interface SealedSlot extends Slot {
  readonly seal: Buffer;
}

const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const OLDER_BYTES = 4 + MASTER_BYTES;
const ID = /^keys\/([0-9a-f]{16})\.json$/;

export function newSlotId(): string {
  return randomBytes(8).toString("hex");
}

export function slotName(id: string): string {
  return `${KEYS}${id}.json`;
}

/** The id that a slot's name holds; undefined for any other name. */
export function parseSlotName(name: string): string | undefined {
  return ID.exec(name)?.[1];
}

/** What a slot is made of. */
export interface NewSlot {
  readonly slot: Slot;
  /** Of its epoch. */
  readonly keys: EpochKeys;
  /** Masters of the epochs before that are still needed; they are sealed in it. */
  readonly older: readonly EpochMaster[];
}

/** Slots by their ids. */
export const SLOT_DOCUMENTS: DocumentKind<string, SealedSlot, NewSlot> = {
  prefix: KEYS,
  nameOf: slotName,
  keyOf: parseSlotName,
  encode: encodeSlot,
  decode: decodeSlot,
};

/** @param older default: none. */
export function writeSlot(
  storage: Storage,
  slot: Slot,
  keys: EpochKeys,
  older: readonly EpochMaster[] = [],
): Promise<boolean> {
  return new Documents(SLOT_DOCUMENTS, storage).writeNew(slot.id, { slot, keys, older });
}

/** The same in the place of one that has its id. */
export function replaceSlot(
  storage: Storage,
  slot: Slot,
  keys: EpochKeys,
  older: readonly EpochMaster[] = [],
): Promise<void> {
  return new Documents(SLOT_DOCUMENTS, storage).write(slot.id, { slot, keys, older });
}

function encodeSlot({ slot, keys, older }: NewSlot): Buffer {
  const open = openPart(slot);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keys.slots, nonce, { authTagLength: TAG_BYTES }).setAAD(
    bytesOf(open),
  );
  const sealed = [cipher.update(Buffer.concat(older.map(packed))), cipher.final(), cipher.getAuthTag()];
  return encodeRecord({ ...open, seal: Buffer.concat([nonce, ...sealed]).toString("hex") }, FORMAT);
}

function decodeSlot(bytes: Uint8Array, id: string, place: string): SealedSlot {
  const fields = new Fields(decodeRecord(bytes, place, FORMAT), place, "slot");
  const slot = {
    id: fields.text("id"),
    kind: fields.text("kind"),
    repository: fields.text("repository"),
    epoch: fields.count("epoch"),
    check: fields.digest("check"),
    createdAt: fields.date("createdAt"),
    fields: fields.record("fields"),
  };
  const seal = Buffer.from(fields.text("seal"), "hex");
  if (slot.id !== id) throw damagedSlot(place, `it is the slot ${slot.id}`);
  if (slot.epoch === 0) throw damagedSlot(place, "it is of no epoch");
  return { ...slot, seal };
}

/**
 * Holds a slot to be one that who has the master has made.
 *
 * @returns the masters of the epochs before that are still needed; undefined where it is none.
 */
export function openSeal(slot: SealedSlot, keys: EpochKeys): EpochMaster[] | undefined {
  const { seal } = slot;
  if (slot.epoch !== keys.epoch || slot.check !== keys.check) return undefined;
  if (seal.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, keys.slots, seal.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(bytesOf(openPart(slot))).setAuthTag(seal.subarray(-TAG_BYTES));
  const older = decipher.update(seal.subarray(NONCE_BYTES, -TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return undefined; // Node has one error for this, without a code: the tag does not fit
  }
  return unpacked(older);
}

export function damagedSlot(place: string, how: string): CorruptError {
  return new CorruptError(`The key slot ${place} is damaged: ${how}.`, { path: place });
}

function openPart({ id, kind, repository, epoch, check, createdAt, fields }: Slot): object {
  return { id, kind, repository, epoch, check, createdAt: createdAt.toISOString(), fields };
}

function bytesOf(open: object): Buffer {
  return Buffer.from(JSON.stringify(open));
}

function packed({ epoch, master }: EpochMaster): Buffer {
  const bytes = Buffer.alloc(OLDER_BYTES);
  bytes.writeUInt32BE(epoch);
  bytes.set(master, 4);
  return bytes;
}

function unpacked(bytes: Buffer): EpochMaster[] | undefined {
  if (bytes.length % OLDER_BYTES !== 0) return undefined;
  return Array.from({ length: bytes.length / OLDER_BYTES }, (_, index) => {
    const at = index * OLDER_BYTES;
    return { epoch: bytes.readUInt32BE(at), master: bytes.subarray(at + 4, at + OLDER_BYTES) };
  });
}
