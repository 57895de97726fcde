import { randomBytes, scrypt } from "node:crypto";
import { promisify } from "node:util";
import { describe } from "../../checks.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import type { JsonObject } from "../snapshot.ts";
import type { KeyPlace, RepositoryKey, SlotPlace } from "./repository-key.ts";
import { bytesOfHex, openMaster, SEALED_MASTER_BYTES, sealMaster } from "./sealed-master.ts";

const KIND = "passphrase";
const SALT_BYTES = 32;

/** Of scrypt (RFC 7914): it takes 128 × N × r bytes of memory, and N × r × p of work. */
interface Cost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** 128 MiB and some 0.4 s, as OWASP has it for scrypt. */
const DEFAULT_COST: Cost = { N: 2 ** 17, r: 8, p: 1 };
/** A slot is read before anything about it is known: it must not ask for more. */
const MOST_MEMORY = 2 ** 30;
const MOST_WORK = 2 ** 24;

/**
 * A key that is remembered: scrypt makes guessing slow, so that a long one is safe where others read the repository.
 *
 * @param secret any text that is not empty; how its accents are composed does not count (Unicode NFC).
 * @example
 * ```ts
 * const repository = await Repository.open("vault", { keys: [passphrase(secret)] });
 * ```
 */
export function passphrase(secret: string): RepositoryKey {
  return new Passphrase(secret);
}

class Passphrase implements RepositoryKey {
  readonly kind = KIND;
  readonly #secret: string;

  constructor(secret: string) {
    if (typeof secret !== "string")
      throw new TypeError(`A passphrase must be a text, not ${describe(secret)}.`);
    if (secret === "") throw new ValidationError("The passphrase is empty.");
    this.#secret = secret.normalize("NFC");
  }

  async wrap(master: Uint8Array, place: KeyPlace): Promise<JsonObject> {
    const salt = randomBytes(SALT_BYTES);
    const key = await this.#keyOf(salt, DEFAULT_COST);
    return { ...DEFAULT_COST, salt: salt.toString("hex"), master: sealMaster(key, master, KIND, place) };
  }

  async unwrap(slot: JsonObject, place: SlotPlace): Promise<Uint8Array | undefined> {
    const salt = bytesOfHex(slot["salt"], SALT_BYTES);
    const sealed = bytesOfHex(slot["master"], SEALED_MASTER_BYTES);
    const cost = costOf(slot);
    if (!salt || !sealed || !cost) {
      throw new CorruptError(`${place.object} is damaged: it is not a slot of a passphrase.`, {
        path: place.object,
      });
    }
    return openMaster(await this.#keyOf(salt, cost), sealed, KIND, place);
  }

  #keyOf(salt: Uint8Array, { N, r, p }: Cost): Promise<Buffer> {
    return derive(this.#secret, salt, 32, { N, r, p, maxmem: MOST_MEMORY + 2 ** 26 });
  }
}

const derive = promisify<string, Uint8Array, number, Cost & { readonly maxmem: number }, Buffer>(scrypt);

/** Undefined for what scrypt does not take, or more than a slot may ask for. */
function costOf({ N, r, p }: JsonObject): Cost | undefined {
  if (!isCount(N) || !isCount(r) || !isCount(p)) return undefined;
  if (N < 2 || !Number.isInteger(Math.log2(N))) return undefined;
  if (128 * N * r > MOST_MEMORY || N * r * p > MOST_WORK) return undefined;
  return { N, r, p };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
