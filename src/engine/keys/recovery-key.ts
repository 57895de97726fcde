import { createHash, randomBytes } from "node:crypto";
import { describe } from "../../checks.ts";
import { ValidationError } from "../../errors.ts";
import { rawKey } from "./raw-key.ts";
import type { RepositoryKey } from "./repository-key.ts";

// Raw keys that are kept on paper (docs/formats.md, "Recovery keys").

/** Crockford's: without I, L, O and U, which are read as others. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const READ_AS: Readonly<Record<string, string>> = { I: "1", L: "1", O: "0" };

const KEY_BYTES = 32;
const CHECK_BYTES = 3;
const GROUPS = 14;
const GROUP_CHARACTERS = 5;

/** A key of random bytes that can be printed. Its slots are those of raw keys. */
export interface RecoveryKey extends RepositoryKey {
  /** The secret: 14 groups of 5 characters with `-` between them. Print it once, and keep it where the repository is not. */
  print(): string;
}

/**
 * A new key to be printed, for the day on which all other keys are lost: a second slot beside a passphrase that can be forgotten, or a key in
 * a cloud whose account can be closed. Nothing keeps it: whoever does not print it has no use of its slot.
 *
 * @example
 * ```ts
 * const key = recoveryKey();
 * await repository.keys.add(key);
 * console.log(key.print());
 * ```
 */
export function recoveryKey(): RecoveryKey {
  return withPrint(randomBytes(KEY_BYTES));
}

/**
 * The key that was printed. Case, spaces, and O for 0, I and L for 1 do not count.
 *
 * @throws ValidationError for a typing error, by the number of its group, without what is in it. Found is every wrong character, every two
 * neighbours that were swapped, and every group in another's place.
 * @example
 * ```ts
 * const repository = await Repository.open("vault", { keys: [parseRecoveryKey(typed)] });
 * ```
 */
export function parseRecoveryKey(text: string): RecoveryKey {
  if (typeof text !== "string") {
    throw new TypeError(`A recovery key must be a text, not ${describe(text)}.`);
  }
  const digits = groupsOf(text).flatMap((group, index) => digitsOf(group, index + 1));
  const bytes = packed(digits);
  const key = bytes.subarray(0, KEY_BYTES);
  if (checkOf(key).equals(bytes.subarray(KEY_BYTES))) return withPrint(key);
  throw new ValidationError("The recovery key has more than one typing error in a group. Compare all of it.");
}

function withPrint(key: Buffer): RecoveryKey {
  return Object.assign(rawKey(key), { print: () => printed(Buffer.concat([key, checkOf(key)])) });
}

function checkOf(key: Buffer): Buffer {
  return createHash("sha256").update(key).digest().subarray(0, CHECK_BYTES);
}

function printed(bytes: Buffer): string {
  const all = BigInt(`0x${bytes.toString("hex")}`)
    .toString(32)
    .padStart(GROUPS * (GROUP_CHARACTERS - 1), "0");
  const digits = [...all].map((digit) => Number.parseInt(digit, 32));
  const groups = Array.from({ length: GROUPS }, (_, index) => {
    const own = digits.slice(index * (GROUP_CHARACTERS - 1), (index + 1) * (GROUP_CHARACTERS - 1));
    return [...own, checkDigit(own, index + 1)].map((digit) => ALPHABET[digit]).join("");
  });
  return groups.join("-");
}

/** As they were written apart; where they were not, every five characters. */
function groupsOf(text: string): string[] {
  const parts = text.trim().split(/[\s-]+/);
  const groups = parts.length === 1 ? (parts[0]?.match(/.{1,5}/gsu) ?? []) : parts;
  const wrong = groups.findIndex((group) => group.length !== GROUP_CHARACTERS);
  if (groups.length === GROUPS && wrong === -1) return groups;
  if (groups.length !== GROUPS) {
    throw new ValidationError(`A recovery key has ${GROUPS} groups, and this one has ${groups.length}.`);
  }
  const has = groups[wrong]?.length;
  throw new ValidationError(
    `Group ${wrong + 1} of the recovery key has ${has} characters instead of ${GROUP_CHARACTERS}.`,
  );
}

/** @param number of the group, from 1 on */
function digitsOf(group: string, number: number): number[] {
  const digits = [...group.toUpperCase()].map((character) =>
    ALPHABET.indexOf(READ_AS[character] ?? character),
  );
  if (digits.includes(-1)) {
    throw new ValidationError(`Group ${number} of the recovery key has a character that none has.`);
  }
  const own = digits.slice(0, -1);
  if (digits.at(-1) === checkDigit(own, number)) return own;
  throw new ValidationError(
    `Group ${number} of the recovery key was mistyped, or stands in another's place.`,
  );
}

/** The group's number and its digits as a polynomial over GF(32), by x⁵ + x² + 1: one wrong digit, or two that are swapped, give another. */
function checkDigit(digits: readonly number[], number: number): number {
  return [...digits, 0].reduce((sum, digit) => timesAlpha(sum) ^ digit, number);
}

function timesAlpha(value: number): number {
  return ((value << 1) ^ (value & 16 ? 0b100101 : 0)) & 31;
}

/** Digits of base 32, as bytes. */
function packed(digits: readonly number[]): Buffer {
  const all = digits.reduce((sum, digit) => sum * 32n + BigInt(digit), 0n);
  return Buffer.from(all.toString(16).padStart(2 * (KEY_BYTES + CHECK_BYTES), "0"), "hex");
}
