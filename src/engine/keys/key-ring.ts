import { randomBytes } from "node:crypto";
import { CorruptError, ValidationError } from "../../errors.ts";
import { isError, reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { KEYS } from "../format/names.ts";
import { assertStill } from "../marker.ts";
import { type EpochKeys, epochKeys } from "./epoch-keys.ts";
import {
  type KeyObjects,
  type KnownEpoch,
  listKeyObjects,
  readKeyObjects,
  signatureOf,
} from "./key-objects.ts";
import { MASTER_BYTES, type RepositoryKey } from "./repository-key.ts";
import { damagedSlot, newSlotId, openSeal, type SealedSlot, type Slot, slotName, writeSlot } from "./slot.ts";

export interface RingPlace {
  readonly storage: Storage;
  readonly logger: Logger;
}

/** What of an encrypted repository its mark says. */
export interface Encryption {
  /** The first epoch; undefined where the mark is lost. */
  readonly first: KnownEpoch;
  /** The repository's id; undefined where the mark is lost. */
  readonly repository: string | undefined;
}

/**
 * The keys of an encrypted repository, opened by one of the caller's. It follows what other processes do with them: `refresh`
 * sees a rotation.
 */
export class KeyRing {
  readonly #place: RingPlace;
  readonly #encryption: Encryption;
  readonly #keys: RepositoryKey[];
  /** Whatever was opened once stays: who reads an object by a key that was dropped since may come to the end. */
  readonly #epochs = new Map<number, EpochKeys>();
  /** Keys of blobs, as blobs are opened by. */
  readonly #blobKeys = new Map<number, Uint8Array>();
  #needed: readonly number[] = [];
  #objects: KeyObjects | undefined;
  #current = 0;

  private constructor(place: RingPlace, encryption: Encryption, keys: readonly RepositoryKey[]) {
    this.#place = place;
    this.#encryption = encryption;
    this.#keys = [...keys];
  }

  /** The caller's, for rotations by others and one's own. */
  get keys(): readonly RepositoryKey[] {
    return this.#keys;
  }

  /** Another that the caller has: there is a slot for it now. */
  learn(key: RepositoryKey): void {
    if (!this.#keys.includes(key)) this.#keys.push(key);
  }

  /**
   * Opens the newest epoch by the first of the keys that a slot is for.
   *
   * @throws ValidationError naming the slots where none of the keys opens one. @throws CorruptError where no slot is left that
   * could be opened. @throws IoError where a key could not be reached and no other opens.
   */
  static async open(
    place: RingPlace,
    encryption: Encryption,
    keys: readonly RepositoryKey[],
  ): Promise<KeyRing> {
    const ring = new KeyRing(place, encryption, keys);
    await ring.#load();
    return ring;
  }

  /**
   * Makes the first master of a repository and a slot for each key. The repository's mark, which is written after, makes them its own.
   *
   * @throws ValidationError where there is no key, or one that cannot make slots.
   */
  static async create(
    place: RingPlace,
    repository: string,
    keys: readonly RepositoryKey[],
  ): Promise<KeyRing> {
    if (keys.length === 0)
      throw new ValidationError("encryption needs a key: without one, nobody could read the repository.");
    const first = epochKeys({ epoch: 1, master: randomBytes(MASTER_BYTES) });
    const slots: Slot[] = [];
    for (const key of keys) slots.push(await newSlot(key, repository, first));
    for (const slot of slots) await writeSlot(place.storage, slot, first);
    const ring = new KeyRing(place, { first: { epoch: 1, check: first.check }, repository }, keys);
    ring.#keep(first);
    ring.#current = 1;
    ring.#needed = [1];
    return ring;
  }

  /** Takes away the slots of a repository that was not marked after all. */
  async discard(): Promise<void> {
    for (const { id } of await this.ownSlots()) await this.#place.storage.remove(slotName(id));
  }

  /** Of what is written now. */
  get current(): EpochKeys {
    const keys = this.#epochs.get(this.#current);
    if (!keys) throw new TypeError("The ring of keys was not opened.");
    return keys;
  }

  /** The epochs by which objects may be encrypted, ascending; the last is the current one. */
  get needed(): readonly number[] {
    return this.#needed;
  }

  get isRewriting(): boolean {
    return this.#objects?.isRewriting ?? false;
  }

  /** The repository's id; by its slots where its mark is lost. */
  get repository(): string {
    const id = this.#encryption.repository ?? this.#objects?.slots[0]?.repository;
    if (id === undefined) throw new TypeError("The ring of keys was not opened.");
    return id;
  }

  keysOf(epoch: number): EpochKeys | undefined {
    return this.#epochs.get(epoch);
  }

  /** Keys of blobs by epoch; what a refresh finds is added. */
  get blobKeys(): ReadonlyMap<number, Uint8Array> {
    return this.#blobKeys;
  }

  /** What lies below `keys/` now. */
  objects(): Promise<KeyObjects> {
    return readKeyObjects(this.#place.storage, this.#encryption.repository, this.#encryption.first);
  }

  /**
   * Looks whether anything below `keys/` is another than it was, by one listing. The same slots are those of the same repository: their
   * names are random.
   *
   * @throws as `open`. @throws IoError where another repository is in its place, or none
   */
  async refresh(): Promise<void> {
    const { storage } = this.#place;
    const names = await listKeyObjects(storage);
    if (signatureOf(names) === this.#objects?.signature) return;
    const { repository: id } = this.#encryption;
    if (id !== undefined) await assertStill(storage, { id });
    await this.#load();
  }

  /**
   * The slots of the current epoch that who has its master has made, each with the masters before.
   *
   * @param objects default: as they are now.
   */
  async ownSlots(objects?: KeyObjects): Promise<SealedSlot[]> {
    const { slots } = objects ?? (await this.objects());
    return slots.filter((slot) => slot.epoch === this.#current && openSeal(slot, this.current) !== undefined);
  }

  async #load(): Promise<void> {
    const objects = await this.objects();
    const { current } = objects;
    const known = this.#epochs.get(current.epoch);
    const own = known && this.#olderIn(objects, known);
    if (known && (own || current.epoch === this.#current)) this.#take(objects, known, own ?? []);
    else {
      const { keys, older } = await this.#openAny(objects);
      this.#take(objects, keys, older);
    }
  }

  #take(objects: KeyObjects, keys: EpochKeys, older: readonly EpochKeys[]): void {
    for (const one of [...older, keys]) this.#keep(one);
    this.#current = keys.epoch;
    this.#needed = [...older, keys].map(({ epoch }) => epoch).sort((a, b) => a - b);
    this.#objects = objects;
  }

  #keep(keys: EpochKeys): void {
    this.#epochs.set(keys.epoch, keys);
    this.#blobKeys.set(keys.epoch, keys.blobs);
  }

  /** Where an epoch was dropped half-way, a slot that is without it tells. Undefined where no slot is of this master. */
  #olderIn(objects: KeyObjects, keys: EpochKeys): EpochKeys[] | undefined {
    const lists = objects.slots.flatMap((slot) => {
      const older = openSeal(slot, keys);
      return older ? [older] : [];
    });
    const [shortest] = lists.sort((a, b) => a.length - b.length);
    return shortest?.map(epochKeys);
  }

  async #openAny(objects: KeyObjects): Promise<{ keys: EpochKeys; older: readonly EpochKeys[] }> {
    const { current, damaged, foreign } = objects;
    const slots = objects.slots.filter(
      ({ epoch, check }) =>
        epoch === current.epoch && (current.check === undefined || current.check === check),
    );
    const failures: unknown[] = damaged.map(({ error }) => error);
    let [isOther, broken]: [boolean, CorruptError | undefined] = [false, undefined];
    for (const key of this.keys) {
      for (const slot of slots.filter(({ kind }) => kind === key.kind)) {
        try {
          const keys = await this.#openSlot(key, slot);
          isOther ||= keys === undefined;
          if (!keys) continue;
          for (const error of failures)
            this.#place.logger.warn("a key slot cannot be used", { reason: reasonOf(error) });
          return { keys, older: this.#olderIn(objects, keys) ?? [] };
        } catch (error) {
          if (!isError(error)) throw error;
          failures.push(error);
          if (error instanceof CorruptError) broken ??= error;
        }
      }
    }
    const notReached = failures.find((error) => !(error instanceof CorruptError));
    if (notReached !== undefined) throw notReached;
    if (broken && !isOther) throw broken; // the key may well be the right one
    const others = foreign.map(
      ({ id, repository }) => `${slotName(id)} is of another repository, ${repository}`,
    );
    throw this.#doesNotOpen(slots, [...failures.map(reasonOf), ...others]);
  }

  async #openSlot(key: RepositoryKey, slot: SealedSlot): Promise<EpochKeys | undefined> {
    const { repository, epoch, fields, check } = slot;
    const object = `${this.#place.storage.location}/${slotName(slot.id)}`;
    const master = await key.unwrap?.(fields, { repository, epoch, object });
    if (!master) return undefined;
    const keys = master.length === MASTER_BYTES ? epochKeys({ epoch, master }) : undefined;
    if (keys?.check !== check) throw damagedSlot(object, "it holds another key than it says");
    if (!openSeal(slot, keys)) throw damagedSlot(object, "it is not as it was written");
    return keys;
  }

  #doesNotOpen(slots: readonly SealedSlot[], notes: readonly string[]): ValidationError | CorruptError {
    const { location } = this.#place.storage;
    const more = notes.map((note) => ` ${note.replace(/\.?$/, ".")}`).join("");
    if (slots.length === 0) {
      const path = `${location}/${KEYS}`;
      return new CorruptError(
        `${location} is encrypted, and no intact key slot is left in ${KEYS}: bring one back from a copy.${more}`,
        { path },
      );
    }
    const has = `Its key slots: ${slots.map(({ id, kind }) => `${id} (${kind})`).join(", ")}.${more}`;
    const given = this.keys.map(({ kind }) => kind).join(", ");
    if (given === "") return new ValidationError(`${location} is encrypted: give a key to open it. ${has}`);
    const fits = this.keys.some(({ kind }) => slots.some((slot) => slot.kind === kind));
    const why = fits ? "opens no slot" : "is of a kind that no slot has";
    return new ValidationError(`The key that was given for ${location} (${given}) ${why}. ${has}`);
  }
}

/** A slot of an epoch for a key. @throws ValidationError where the key can only open. */
export async function newSlot(key: RepositoryKey, repository: string, keys: EpochKeys): Promise<Slot> {
  const { epoch, master, check } = keys;
  if (!key.wrap) {
    throw new ValidationError(
      `This key (${key.kind}) can open slots, but not make them: give the public key or the passphrase that they are made with.`,
    );
  }
  const fields = await key.wrap(master, { repository, epoch });
  return { id: newSlotId(), kind: key.kind, repository, epoch, check, createdAt: new Date(), fields };
}
