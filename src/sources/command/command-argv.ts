import { ValidationError } from "../../errors.ts";
import { withoutPassword } from "../../util/without-password.ts";

/** `command:program one two`: words, in which `%20` is a space. @throws ValidationError */
export function commandWords(url: string): string[] {
  const words = url
    .replace(/^command:/i, "")
    .split(/\s+/)
    .filter(Boolean);
  try {
    return words.map(decodeURIComponent);
  } catch (error) {
    throw new ValidationError(`${withoutPassword(url)} cannot be read: write % as %25.`, { cause: error });
  }
}

/** A program and its arguments. @throws ValidationError, TypeError */
export function assertArgv(argv: readonly string[]): string[] {
  if (!Array.isArray(argv) || argv.some((word) => typeof word !== "string")) {
    throw new TypeError("argv must be a list of strings.");
  }
  if (!argv[0]) throw new ValidationError("No program is named: write command:program, or give argv.");
  if (argv.some((word) => word.includes("\0"))) throw new ValidationError("argv has a NUL in it.");
  return [...argv];
}
