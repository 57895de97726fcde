import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The directory of package.json. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** @param {string[]} parts */
export const inProject = (...parts) => join(root, ...parts);

/** Says in its message what could not be prepared and what to do; the reader needs no stack. */
export class PreparationError extends Error {}

/** Goes to stderr, so that a command's own output stays clean. @param {string} text */
export function say(text) {
  process.stderr.write(`${text}\n`);
}
