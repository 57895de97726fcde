import { CorruptError } from "../errors.ts";
import { isObject } from "./record.ts";

/** The beginning of a value from a file, for messages; whatever it holds. */
export function shown(value: unknown): string {
  try {
    return JSON.stringify(value)?.slice(0, 100) ?? "nothing";
  } catch {
    return "something of great depth";
  }
}

/** Whether a value is a SHA-256 in lower-case hexadecimal. */
export function isDigest(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

/** The error for what is wrong: `head.type must be full or delta, and is 7`. */
type MakeError = (problem: string) => Error;

/** Reads the members of an object that came from a file, each held to its type. */
export class Fields {
  readonly #members: Record<string, unknown>;
  readonly #errorOf: MakeError;
  readonly #what: string;

  /**
   * @param place where it came from, for a `CorruptError`; or what makes another error.
   * @throws that error, as everything here does.
   */
  constructor(value: unknown, place: string | MakeError, what: string) {
    this.#errorOf =
      typeof place === "string"
        ? (problem) => new CorruptError(`${place} is damaged: ${problem}.`, { path: place })
        : place;
    if (!isObject(value)) throw this.#errorOf(`its ${what} is not an object`);
    this.#members = value;
    this.#what = what;
  }

  text(key: string): string {
    const value = this.#members[key];
    return typeof value === "string" ? value : this.refuse(key, "a text");
  }

  /** @param wanted what such a text is */
  matching(key: string, pattern: RegExp, wanted: string): string {
    const text = this.text(key);
    return pattern.test(text) ? text : this.refuse(key, wanted);
  }

  nullableText(key: string): string | null {
    return this.isNull(key) ? null : this.text(key);
  }

  isNull(key: string): boolean {
    return this.#members[key] === null;
  }

  optionalText(key: string): string | undefined {
    return this.#members[key] === undefined ? undefined : this.text(key);
  }

  texts(key: string): string[] {
    return this.list(key).map((value) => (typeof value === "string" ? value : this.refuse(key, "texts")));
  }

  optionalTexts(key: string): string[] | undefined {
    return this.#members[key] === undefined ? undefined : this.texts(key);
  }

  digest(key: string): string {
    const value = this.#members[key];
    return isDigest(value) ? value : this.refuse(key, "a SHA-256");
  }

  number(key: string): number {
    const value = this.#members[key];
    return typeof value === "number" ? value : this.refuse(key, "a number");
  }

  has(key: string): boolean {
    return this.#members[key] !== undefined;
  }

  /** An integer from 0 that a double holds exactly. */
  count(key: string): number {
    const value = this.#members[key];
    return Number.isSafeInteger(value) && (value as number) >= 0
      ? (value as number)
      : this.refuse(key, "a count");
  }

  /** The same, or below 0. */
  integer(key: string): number {
    const value = this.#members[key];
    return Number.isSafeInteger(value) ? (value as number) : this.refuse(key, "an integer");
  }

  /** False where it is missing. */
  optionalFlag(key: string): boolean {
    const value = this.#members[key];
    return value === undefined || typeof value === "boolean"
      ? (value ?? false)
      : this.refuse(key, "true or false");
  }

  optionalCount(key: string): number | undefined {
    return this.#members[key] === undefined ? undefined : this.count(key);
  }

  date(key: string): Date {
    const text = this.text(key);
    const date = new Date(text);
    return !Number.isNaN(date.getTime()) && date.toISOString() === text
      ? date
      : this.refuse(key, "a time in ISO 8601, UTC");
  }

  oneOf<const T extends string>(key: string, values: readonly T[]): T {
    const value = values.find((candidate) => candidate === this.#members[key]);
    return value ?? this.refuse(key, values.join(" or "));
  }

  list(key: string): unknown[] {
    const value = this.#members[key];
    return Array.isArray(value) ? value : this.refuse(key, "a list");
  }

  /** An object of which others know what is in it. */
  record(key: string): Record<string, unknown> {
    const value = this.#members[key];
    return isObject(value) ? value : this.refuse(key, "an object");
  }

  object(key: string): Fields {
    return new Fields(this.#members[key], this.#errorOf, `${this.#what}.${key}`);
  }

  optionalObject(key: string): Fields | undefined {
    return this.#members[key] === undefined ? undefined : this.object(key);
  }

  objects(key: string): Fields[] {
    return this.list(key).map(
      (value, index) => new Fields(value, this.#errorOf, `${this.#what}.${key}[${index}]`),
    );
  }

  optionalObjects(key: string): Fields[] | undefined {
    return this.#members[key] === undefined ? undefined : this.objects(key);
  }

  /** For what only the caller can tell. */
  refuse(key: string, wanted: string): never {
    throw this.#errorOf(`${this.#what}.${key} must be ${wanted}, and is ${shown(this.#members[key])}`);
  }
}
