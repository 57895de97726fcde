import { ValidationError } from "../errors.ts";

const PART = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*$/;

/**
 * Object names are parts joined by `/`, each of ASCII letters, digits, `_`, `-` and `.`, not beginning with a dot:
 * every backend takes them as they are, none can leave the storage, and names of a backend's own begin with a dot.
 *
 * @throws ValidationError
 * @example
 * ```ts
 * assertObjectName("data/0f/0f3c"); // fine
 * assertObjectName("../secret"); // throws
 * ```
 */
export function assertObjectName(name: unknown): asserts name is string {
  if (typeof name !== "string") throw new TypeError(`An object's name must be a string, not ${typeof name}.`);
  if (!isObjectName(name)) {
    throw new ValidationError(`${JSON.stringify(name)} is not a valid name for an object in a storage.`);
  }
}

/**
 * Whether `assertObjectName` takes it.
 *
 * @example
 * ```ts
 * isObjectName("snapshots/.lock"); // false: a part begins with a dot
 * ```
 */
export function isObjectName(name: string): boolean {
  return name.length <= 1000 && name.split("/").every((part) => PART.test(part));
}

/**
 * A prefix is the beginning of a name; the empty one is all.
 *
 * @example
 * ```ts
 * assertObjectPrefix("snapshots/");
 * ```
 */
export function assertObjectPrefix(prefix: unknown): asserts prefix is string {
  if (typeof prefix !== "string") throw new TypeError(`A prefix must be a string, not ${typeof prefix}.`);
  if (prefix !== "") assertObjectName(prefix.endsWith("/") ? prefix.slice(0, -1) : prefix);
}

/** What a listing or a look tells of one object. */
export interface StoredObject {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** When it was last written, by the storage's own clock. */
  readonly modified: Date;
}
