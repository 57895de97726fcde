import { types } from "node:util";

/**
 * Whether a thrown value is an error, of whichever realm: under Jest, or in a context of `node:vm`, errors of Node's own
 * modules are of another one, and `instanceof Error` does not know them.
 */
export function isError(value: unknown): value is Error {
  return types.isNativeError(value) || value instanceof Error;
}

/** What a thrown value says. */
export function reasonOf(error: unknown): string {
  return isError(error) ? error.message : String(error);
}

/** The same with where it was thrown: of what is a mistake in a program. */
export function stackOf(error: unknown): string {
  return isError(error) ? (error.stack ?? error.message) : String(error);
}
