import { randomBytes } from "node:crypto";
import { CorruptError, LockedError, ValidationError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { Documents } from "../documents.ts";
import { recipientsOfSlot } from "./age-key.ts";
import { awsKms } from "./aws-kms-key.ts";
import { type EpochKeys, type EpochMaster, epochKeys } from "./epoch-keys.ts";
import { EPOCH_DOCUMENTS } from "./epoch-record.ts";
import { type KeyRing, newSlot } from "./key-ring.ts";
import { type KeyOfSlot, MASTER_BYTES, type RepositoryKey } from "./repository-key.ts";
import { openSeal, replaceSlot, type SealedSlot, type Slot, slotName, writeSlot } from "./slot.ts";

export interface KeysPlace {
  readonly storage: Storage;
  readonly logger: Logger;
  readonly ring: KeyRing;
}

/** What opens a repository, as a listing knows it. */
export interface KeySlot {
  readonly id: string;
  /** `passphrase`, `age`, `aws-kms`, `raw`. */
  readonly kind: string;
  /** Whose key it holds; the newest is what is written by. */
  readonly epoch: number;
  readonly createdAt: Date;
}

/** Kinds whose slots say in the open for whom another is to be made, which may be more than who has the key at hand. */
const KEYS_OF_SLOTS: Readonly<Record<string, KeyOfSlot>> = { age: recipientsOfSlot };
/** Kinds whose keys can be used where none is at hand: by the credentials that the environment has. */
const KEYS_ELSEWHERE: Readonly<Record<string, KeyOfSlot>> = {
  "aws-kms": ({ keyId }) => (typeof keyId === "string" ? awsKms(keyId) : undefined),
};
/** What can be away, or be taken away, by somebody else. */
const CLOUD_KINDS: ReadonlySet<string> = new Set(["aws-kms"]);

/** The slots by which the repository is opened now. Damaged ones are told of in the log. */
export async function listKeys({ ring, logger }: KeysPlace): Promise<KeySlot[]> {
  const objects = await ring.objects();
  for (const { id, error } of objects.damaged) {
    logger.warn("a key slot is damaged", { slot: id, reason: error.message });
  }
  return (await ring.ownSlots(objects)).map(shown);
}

/** Makes a slot for another key. @throws ValidationError where the key can only open. */
export async function addKey(place: KeysPlace, key: RepositoryKey): Promise<KeySlot> {
  const { storage, ring } = place;
  for (;;) {
    const { current } = ring;
    const slot = await newSlot(key, ring.repository, current);
    await writeSlot(storage, slot, current, olderMasters(ring));
    await ring.refresh();
    if (ring.current.epoch === slot.epoch) {
      ring.learn(key);
      await warnOfClouds(place);
      return shown(slot);
    }
    await storage.remove(slotName(slot.id)); // of an epoch that was the newest when it was made
  }
}

/**
 * Takes a slot away, a damaged one too. Whoever has opened the repository by it may know its master: a rotation locks them out of
 * what is written from then on.
 *
 * @throws ValidationError where there is no such slot, or it is the last one that opens the repository.
 */
export async function removeKey(place: KeysPlace, id: string): Promise<void> {
  const { storage, ring, logger } = place;
  const objects = await ring.objects();
  const slot = objects.slots.find((one) => one.id === id);
  const isDamaged = objects.damaged.some((one) => one.id === id);
  const own = await ring.ownSlots(objects);
  if (!slot && !isDamaged) {
    const has = own.map((one) => `${one.id} (${one.kind})`).join(", ");
    throw new ValidationError(`${storage.location} has no key slot ${JSON.stringify(id)}. It has ${has}.`);
  }
  if (!own.some((one) => one.id !== id)) throw lastSlot(storage, id);
  await storage.remove(slotName(id));
  if ((await ring.ownSlots()).length === 0) {
    // Somebody else has removed the other one at the same moment.
    if (slot) await replaceSlot(storage, slot, ring.current, olderMasters(ring));
    throw lastSlot(storage, id);
  }
  logger.info("key slot removed", { slot: id });
  await warnOfClouds(place);
}

function lastSlot({ location }: Storage, id: string): ValidationError {
  return new ValidationError(
    `${id} is the last key slot of ${location}: without it nobody could read the repository. Add another key first.`,
  );
}

/** What a rotation makes: the slots of the new epoch. */
export interface NewEpoch {
  readonly keys: EpochKeys;
  readonly slots: readonly Slot[];
}

/**
 * Plans a new epoch: each slot gets one that whoever opens it opens too. Nothing is written.
 *
 * @throws ValidationError naming a slot whose key is not at hand, and that does not say in the open how another is made.
 */
export async function planEpoch({ storage, ring }: KeysPlace): Promise<NewEpoch> {
  const slots = await ring.ownSlots();
  const keys = epochKeys({ epoch: ring.current.epoch + 1, master: randomBytes(MASTER_BYTES) });
  const next: Slot[] = [];
  for (const slot of slots) {
    const key = await keyFor(ring, storage, slot);
    if (!key) {
      throw new ValidationError(
        `The key of slot ${slot.id} (${slot.kind}) was not given, so the new master key cannot be written for it. Open the repository with it too, or remove the slot first.`,
      );
    }
    next.push(await newSlot(key, ring.repository, keys));
  }
  return { keys, slots: next };
}

async function keyFor(ring: KeyRing, storage: Storage, slot: SealedSlot): Promise<RepositoryKey | undefined> {
  const { kind, fields } = slot;
  return (
    KEYS_OF_SLOTS[kind]?.(fields) ?? (await keyAtHand(ring, storage, slot)) ?? KEYS_ELSEWHERE[kind]?.(fields)
  );
}

async function keyAtHand(
  ring: KeyRing,
  { location }: Storage,
  slot: SealedSlot,
): Promise<RepositoryKey | undefined> {
  const { repository, epoch, fields } = slot;
  const object = `${location}/${slotName(slot.id)}`;
  for (const key of ring.keys) {
    if (key.kind === slot.kind && key.wrap && (await key.unwrap?.(fields, { repository, epoch, object })))
      return key;
  }
  return undefined;
}

/**
 * Begins a new epoch, in one step: what is written from now on is encrypted by its keys. What was written stays readable, since
 * the new slots hold the masters before too. Interrupted anywhere, the repository is in the one epoch or the other.
 *
 * @throws LockedError where somebody else has begun one meanwhile.
 */
export async function beginEpoch(
  { storage, ring, logger }: KeysPlace,
  { keys, slots }: NewEpoch,
): Promise<void> {
  const older: EpochMaster[] = [...olderMasters(ring), ring.current];
  for (const slot of slots) await writeSlot(storage, slot, keys, older);
  const { epoch, check } = keys;
  const record = { epoch, createdAt: new Date(), check };
  if (!(await new Documents(EPOCH_DOCUMENTS, storage).writeNew(epoch, record))) {
    for (const { id } of slots) await storage.remove(slotName(id));
    throw new LockedError(
      `Somebody else just rotated the keys of ${storage.location}. Check whether you still need to.`,
    );
  }
  await ring.refresh();
  logger.info("keys rotated", { epoch: keys.epoch });
}

/** Removes slots that open nothing any more: of epochs before, and of rotations that did not come to be. */
export async function removeStaleSlots({ storage, ring, logger }: KeysPlace): Promise<void> {
  const { epoch, check } = ring.current;
  for (const slot of (await ring.objects()).slots) {
    if (slot.epoch > epoch || (slot.epoch === epoch && slot.check === check)) continue;
    await storage.remove(slotName(slot.id)).catch((error: unknown) => {
      logger.warn("a key slot of an epoch before could not be removed", {
        slot: slot.id,
        reason: reasonOf(error),
      });
    });
  }
}

/** Writes the slots without the masters before, which nothing is encrypted by any more. */
export async function dropOlderEpochs({ storage, ring }: KeysPlace): Promise<void> {
  for (const slot of await ring.ownSlots()) {
    if ((openSeal(slot, ring.current) ?? []).length === 0) continue;
    await replaceSlot(storage, slot, ring.current);
  }
  await ring.refresh();
}

/** Masters of the epochs before by which something may be encrypted. */
function olderMasters(ring: KeyRing): EpochMaster[] {
  return ring.needed
    .filter((epoch) => epoch !== ring.current.epoch)
    .map((epoch) => {
      const keys = ring.keysOf(epoch);
      if (!keys) throw new CorruptError(`The key of epoch ${epoch} was not given.`);
      return keys;
    });
}

/** With one key alone, that a cloud keeps, the data is lost with an account. */
export async function warnOfClouds({ storage, ring, logger }: KeysPlace): Promise<void> {
  const slots = await ring.ownSlots();
  if (slots.length === 0 || !slots.every(({ kind }) => CLOUD_KINDS.has(kind))) return;
  logger.warn(
    "only a cloud key opens this repository: if it is deleted or the account is lost, so is the data; add a passphrase or an age recipient",
    { location: storage.location },
  );
}

function shown({ id, kind, epoch, createdAt }: Slot): KeySlot {
  return { id, kind, epoch, createdAt };
}
