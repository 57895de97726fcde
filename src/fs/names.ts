import { CorruptError, ValidationError } from "../errors.ts";
import { isStray } from "./safe-names.ts";

/** Of a path from a file so much is shown: it may have millions of letters. */
const SHOWN_LETTERS = 200;

const TABLE_NAME = /^[A-Za-z0-9_.-]+$/;

/**
 * Our rule for table and namespace names: letters, digits, `_`, `-`, `.`, and no two dots in a row. It keeps
 * a name inside the database directory. LanceDB's own is wider: it takes two dots inside a name, and any name
 * at all in a namespace.
 */
export function assertTableName(name: unknown, what = "table name"): asserts name is string {
  if (typeof name !== "string") throw new TypeError(`The ${what} must be a string, not ${typeof name}.`);
  if (!TABLE_NAME.test(name) || name.includes("..")) {
    throw new ValidationError(
      `${JSON.stringify(name)} is not a ${what}: letters, digits, "_", "-" and "." only, not empty, and no "..".`,
    );
  }
  if (isStray(name)) {
    throw new ValidationError(
      `${JSON.stringify(name)} is not a ${what}: files of file managers or synchronising programs are called so.`,
    );
  }
}

/**
 * Holds a relative path that was read from a file to its root: forward slashes, no empty part, no `.` or
 * `..`, not absolute, no drive, no NUL.
 */
export function assertInnerPath(path: string, source: string): void {
  const parts = path.split("/");
  const bad = parts.some((part) => part === "" || part === "." || part === "..");
  if (bad || path.includes("\\") || path.includes("\0") || /^[A-Za-z]:/.test(path)) {
    throw new CorruptError(
      `${source} names a path that leaves its directory: ${JSON.stringify(path.slice(0, SHOWN_LETTERS))}.`,
      {
        path: source,
      },
    );
  }
}
