import { ValidationError } from "./errors.ts";
import type { Logger } from "./logger.ts";

// What a caller passes: a wrong type is a TypeError, a wrong value a ValidationError. Nothing is touched.

export function assertOptions(value: unknown, of: string): void {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`The options of ${of} must be an object, not ${describe(value)}.`);
  }
}

/**
 * Options are an object of these and no others: one that is misspelt would be passed over, and something else done
 * than was asked for. `known` names every member of `T`, which the compiler sees to; one that is `false` is known and
 * not offered.
 */
export function assertKnown<T extends object>(
  options: T,
  of: string,
  known: Readonly<Record<keyof T, boolean>>,
): void {
  assertOptions(options, of);
  const offered = Object.keys(known).filter((key) => known[key as keyof T]);
  for (const key of Object.keys(options)) {
    if (Object.hasOwn(known, key)) continue;
    throw new ValidationError(`${of} has no option ${JSON.stringify(key)}: it has ${offered.join(", ")}.`);
  }
}

/** By what it can do: a signal may come from another realm, or from a library. */
export function assertSignal(value: unknown): asserts value is AbortSignal | undefined {
  if (value === undefined) return;
  const signal = (typeof value === "object" ? (value ?? {}) : {}) as Partial<AbortSignal>;
  const methods = [signal.addEventListener, signal.removeEventListener, signal.throwIfAborted];
  if (typeof signal.aborted === "boolean" && methods.every((method) => typeof method === "function")) return;
  throw new TypeError(`signal must be an AbortSignal, not ${describe(value)}.`);
}

export function assertFlag(value: unknown, name: string): asserts value is boolean | undefined {
  if (value === undefined || typeof value === "boolean") return;
  throw new TypeError(`${name} must be true or false, not ${describe(value)}.`);
}

/** One of a few words. */
export function assertOneOf<const T extends string>(
  value: unknown,
  name: string,
  choices: readonly T[],
): asserts value is T | undefined {
  if (value === undefined || choices.includes(value as T)) return;
  const quoted = choices.map((choice) => JSON.stringify(choice));
  const all = [quoted.slice(0, -1).join(", "), ...quoted.slice(-1)].join(" or ");
  throw new ValidationError(`${name} must be ${all}, not ${JSON.stringify(value) ?? describe(value)}.`);
}

/** Infinity too: for ever. */
export function assertMilliseconds(value: unknown, name: string): asserts value is number | undefined {
  if (value === undefined) return;
  if (typeof value !== "number")
    throw new TypeError(`${name} must be a number of milliseconds, not ${describe(value)}.`);
  if (!(value >= 0)) throw new ValidationError(`${name} must be 0 milliseconds or more, not ${value}.`);
}

/** `failOnShrink`: whether, or from which part of its rows on that a table has lost. */
export function assertShrink(value: unknown): asserts value is boolean | number | undefined {
  if (value === undefined || typeof value === "boolean") return;
  if (typeof value !== "number")
    throw new TypeError(`failOnShrink must be true, false or a number, not ${describe(value)}.`);
  if (!(value >= 0 && value < 1)) {
    throw new ValidationError(
      `failOnShrink must be a fraction of the rows, from 0 up to but not including 1, not ${value}.`,
    );
  }
}

export function assertLogger(value: unknown): asserts value is Logger {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`logger must be an object with debug, info, warn and error, not ${describe(value)}.`);
  }
  for (const method of ["debug", "info", "warn", "error"]) {
    if (typeof Reflect.get(value, method) !== "function")
      throw new TypeError(`The logger has no method ${method}.`);
  }
}

/** What a value is, in words for a message. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value;
}
