import { CorruptError } from "../../errors.ts";
import { isObject } from "../../fs/record.ts";
import { isDigest } from "./names.ts";
import { shown } from "./shown.ts";

/** Reads the members of an object that came from a file, each held to its type. */
export class Fields {
  readonly #members: Record<string, unknown>;
  readonly #place: string;
  readonly #what: string;

  /** @throws CorruptError naming `place`, as everything here does. */
  constructor(value: unknown, place: string, what: string) {
    if (!isObject(value)) {
      throw new CorruptError(`${place} is damaged: its ${what} is not an object.`, { path: place });
    }
    this.#members = value;
    this.#place = place;
    this.#what = what;
  }

  text(key: string): string {
    const value = this.#members[key];
    return typeof value === "string" ? value : this.#refuse(key, "a text");
  }

  optionalText(key: string): string | undefined {
    return this.#members[key] === undefined ? undefined : this.text(key);
  }

  texts(key: string): string[] {
    return this.list(key).map((value) => (typeof value === "string" ? value : this.#refuse(key, "texts")));
  }

  optionalTexts(key: string): string[] | undefined {
    return this.#members[key] === undefined ? undefined : this.texts(key);
  }

  digest(key: string): string {
    const value = this.#members[key];
    return isDigest(value) ? value : this.#refuse(key, "a SHA-256");
  }

  /** An integer from 0 that a double holds exactly. */
  count(key: string): number {
    const value = this.#members[key];
    return Number.isSafeInteger(value) && (value as number) >= 0
      ? (value as number)
      : this.#refuse(key, "a count");
  }

  /** The same, or below 0. */
  integer(key: string): number {
    const value = this.#members[key];
    return Number.isSafeInteger(value) ? (value as number) : this.#refuse(key, "an integer");
  }

  /** False where it is missing. */
  optionalFlag(key: string): boolean {
    const value = this.#members[key];
    return value === undefined || typeof value === "boolean"
      ? (value ?? false)
      : this.#refuse(key, "true or false");
  }

  optionalCount(key: string): number | undefined {
    return this.#members[key] === undefined ? undefined : this.count(key);
  }

  date(key: string): Date {
    const text = this.text(key);
    const date = new Date(text);
    return !Number.isNaN(date.getTime()) && date.toISOString() === text
      ? date
      : this.#refuse(key, "a time in ISO 8601, UTC");
  }

  oneOf<const T extends string>(key: string, values: readonly T[]): T {
    const value = values.find((candidate) => candidate === this.#members[key]);
    return value ?? this.#refuse(key, values.join(" or "));
  }

  list(key: string): unknown[] {
    const value = this.#members[key];
    return Array.isArray(value) ? value : this.#refuse(key, "a list");
  }

  /** An object of which others know what is in it. */
  record(key: string): Record<string, unknown> {
    const value = this.#members[key];
    return isObject(value) ? value : this.#refuse(key, "an object");
  }

  object(key: string): Fields {
    return new Fields(this.#members[key], this.#place, `${this.#what}.${key}`);
  }

  optionalObject(key: string): Fields | undefined {
    return this.#members[key] === undefined ? undefined : this.object(key);
  }

  objects(key: string): Fields[] {
    return this.list(key).map(
      (value, index) => new Fields(value, this.#place, `${this.#what}.${key}[${index}]`),
    );
  }

  optionalObjects(key: string): Fields[] | undefined {
    return this.#members[key] === undefined ? undefined : this.objects(key);
  }

  #refuse(key: string, wanted: string): never {
    throw new CorruptError(
      `${this.#place} is damaged: ${this.#what}.${key} must be ${wanted}, and is ${shown(this.#members[key])}.`,
      { path: this.#place },
    );
  }
}
