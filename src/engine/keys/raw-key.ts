import { hkdfSync, randomBytes } from "node:crypto";
import { types } from "node:util";
import { describe } from "../../checks.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import type { JsonObject } from "../snapshot.ts";
import type { KeyPlace, RepositoryKey, SlotPlace } from "./repository-key.ts";
import { bytesOfHex, openMaster, SEALED_MASTER_BYTES, sealMaster } from "./sealed-master.ts";

const KIND = "raw";
const LEAST_BYTES = 32;
const SALT_BYTES = 32;
const INFO = "lancedb-backup raw slot 2";

/**
 * A key of random bytes that the caller keeps. Whoever has them opens the repository.
 *
 * @param bytes 32 or more, of high entropy: not a passphrase.
 * @throws ValidationError for fewer.
 * @example
 * ```ts
 * const repository = await Repository.open("vault", { keys: [rawKey(readFileSync("vault.key"))] });
 * ```
 */
export function rawKey(bytes: Uint8Array): RepositoryKey {
  return new RawKey(bytes);
}

class RawKey implements RepositoryKey {
  readonly kind = KIND;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    if (!types.isUint8Array(bytes)) throw new TypeError(`A raw key must be bytes, not ${describe(bytes)}.`);
    if (bytes.length < LEAST_BYTES) {
      throw new ValidationError(
        `A raw key has at least ${LEAST_BYTES} bytes, and this one has ${bytes.length}.`,
      );
    }
    this.#bytes = Uint8Array.from(bytes);
  }

  async wrap(master: Uint8Array, place: KeyPlace): Promise<JsonObject> {
    const salt = randomBytes(SALT_BYTES);
    return { salt: salt.toString("hex"), master: sealMaster(this.#keyOf(salt), master, KIND, place) };
  }

  async unwrap(slot: JsonObject, place: SlotPlace): Promise<Uint8Array | undefined> {
    const salt = bytesOfHex(slot["salt"], SALT_BYTES);
    const sealed = bytesOfHex(slot["master"], SEALED_MASTER_BYTES);
    if (!salt || !sealed) {
      throw new CorruptError(`${place.object} is damaged: it is not a slot of a raw key.`, {
        path: place.object,
      });
    }
    return openMaster(this.#keyOf(salt), sealed, KIND, place);
  }

  #keyOf(salt: Uint8Array): Uint8Array {
    return new Uint8Array(hkdfSync("sha256", this.#bytes, salt, INFO, 32));
  }
}
