import { statSync } from "node:fs";
import { resolve } from "node:path";
import { ValidationError } from "../../errors.ts";
import { isMissing, toIoError } from "../../fs/io.ts";
import { realPath } from "../../fs/local-path.ts";

const SCHEME = /^sqlite:/i;

/** Whether an address is one of a SQLite database. */
export function isSqliteUrl(value: string): boolean {
  return SCHEME.test(value);
}

/**
 * The absolute path in `sqlite:path` or `sqlite:///absolute/path`. Every letter is the file's name as it is: `%20` is no blank,
 * and `?mode=…` no option.
 *
 * @throws ValidationError where it names none.
 */
export function sqlitePath(url: string): string {
  const text = url.replace(SCHEME, "");
  const path = text.startsWith("//") ? text.replace(/^\/\/+(?=\/)/, "") : text;
  if (path.startsWith("//")) {
    throw new ValidationError(
      `${url} names a host. Write sqlite:path or sqlite:///absolute/path: a SQLite database is a local file.`,
    );
  }
  if (path.trim() === "" || path.includes("\0")) throw new ValidationError(`${url} names no file.`);
  if (path === ":memory:") {
    throw new ValidationError("A database in memory belongs to its process alone, and cannot be backed up.");
  }
  return resolve(path);
}

/** The address of a database, for people. */
export function sqliteUri(path: string): string {
  return `sqlite:${path}`;
}

/**
 * The real path of a database: of a symbolic link where it leads to, since SQLite's journals lie there.
 *
 * @throws ValidationError where there is no file. @throws IoError
 */
export function databaseFile(path: string): string {
  const real = realPath(path);
  try {
    if (statSync(real).isFile()) return real;
  } catch (error) {
    if (isMissing(error)) throw new ValidationError(`There is no SQLite database at ${path}.`);
    throw toIoError(error, "find", path);
  }
  throw new ValidationError(`${path} is not a file, so it cannot be a SQLite database.`);
}
