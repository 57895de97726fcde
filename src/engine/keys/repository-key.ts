import { describe } from "../../checks.ts";
import type { JsonObject } from "../snapshot.ts";

/** What the master of an epoch is bound to, so that a slot opens nothing else. */
export interface KeyPlace {
  /** The repository's id, a UUID. */
  readonly repository: string;
  /** From 1 on. */
  readonly epoch: number;
}

export interface SlotPlace extends KeyPlace {
  /** Where the slot is, for messages. */
  readonly object: string;
}

/**
 * Something by which an encrypted repository is opened: a passphrase, an age recipient or identity, a key of AWS KMS, raw bytes.
 * It makes **slots**, objects `keys/<id>.json` that hold the master of an epoch (32 random bytes), and opens them. What a slot
 * says in the open is authenticated by the master alone, which is known when the slot was opened: until then it may be hostile.
 */
export interface RepositoryKey {
  /** `passphrase`, `age`, `aws-kms`, `raw`: the kind of its slots. A key is asked to open slots of its kind alone. */
  readonly kind: string;
  /**
   * The fields of a new slot that holds the master, no secret among them but for the wrapped master. Missing where the key can
   * only open.
   *
   * @throws IoError where the key cannot be reached.
   */
  wrap?(master: Uint8Array, place: KeyPlace): Promise<JsonObject>;
  /**
   * The master that a slot holds; undefined where the slot is for another key. Missing where the key can only make slots.
   *
   * @param slot its fields: what `wrap` has answered with, or anything else.
   * @throws CorruptError where the slot is none of its kind. @throws IoError for what says nothing about that: no network, no access.
   */
  unwrap?(slot: JsonObject, place: SlotPlace): Promise<Uint8Array | undefined>;
}

/**
 * The key that makes slots which whoever opens `slot` opens too, where the slot says in the open what that takes (age
 * recipients). By this a rotation takes along slots whose keys are not at hand. A slot comes here only
 * when it was authenticated by its master.
 */
export type KeyOfSlot = (slot: JsonObject) => RepositoryKey | undefined;

/** Bytes of an epoch's master. */
export const MASTER_BYTES = 32;

/** @throws TypeError */
export function assertKeys(keys: unknown, name: string): asserts keys is readonly RepositoryKey[] {
  if (!Array.isArray(keys)) throw new TypeError(`${name} must be an array, not ${describe(keys)}.`);
  for (const key of keys) {
    const { kind, wrap, unwrap } = (
      typeof key === "object" && key !== null ? key : {}
    ) as Partial<RepositoryKey>;
    if (typeof kind === "string" && (typeof wrap === "function" || typeof unwrap === "function")) continue;
    throw new TypeError(`${name} must hold keys, as passphrase() makes one, not ${describe(key)}.`);
  }
}
