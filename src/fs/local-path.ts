import { readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UnsupportedError, ValidationError } from "../errors.ts";
import { reasonOf } from "./io.ts";

/** Two letters at least: one is a drive of Windows. A directory of such a name is reached by `./`. */
const SCHEME = /^([a-z][a-z0-9+.-]+):(?=\/)/i;

/** What a shell would have taken away, and a configuration file or a program passes on: directories of such names are not meant. */
const LITERAL: readonly (readonly [RegExp, string])[] = [
  [/^(["'`]).*\1$/s, "it stands in quotes, which would be part of the directory's name; leave them out"],
  [/^~(\/|$)/, "only a shell knows ~; write the directory out, or ./~ where one of that name is meant"],
];

/**
 * The absolute path of a local directory that a caller names by a path or a `file:` address. Touches nothing.
 *
 * @param what the option, for messages
 * @throws UnsupportedError for every other scheme (`s3://`, `db://`, …). @throws ValidationError for an address
 * that names no directory of this machine. @throws TypeError for what is no string.
 */
export function localPath(value: unknown, what: string): string {
  if (typeof value !== "string") {
    throw new TypeError(`${what} must be a string, not ${value === null ? "null" : typeof value}.`);
  }
  if (value.trim() === "" || value.includes("\0"))
    throw new ValidationError(`${what} must name a directory.`);
  const literal = LITERAL.find(([pattern]) => pattern.test(value));
  if (literal) throw new ValidationError(`${what} is ${value}: ${literal[1]}.`);
  if (/^file:/i.test(value)) return pathOfAddress(value, what);
  const scheme = SCHEME.exec(value)?.[1];
  if (scheme !== undefined) {
    throw new UnsupportedError(
      `${what} is ${value}. Only local directories are supported, as a path or a file:// address; "${scheme}:" is not. (A directory of that name is written with "./" before it.)`,
    );
  }
  return resolve(value);
}

function pathOfAddress(value: string, what: string): string {
  const refuse = (why: string, cause?: unknown) =>
    new ValidationError(
      `${what} is ${value}: ${why}. Write file:///absolute/path, with %20 for a space, or the plain path.`,
      {
        cause,
      },
    );
  if (!/^file:\//i.test(value)) throw refuse("a file address must be absolute");
  let path: string;
  try {
    const url = new URL(value);
    if (url.search !== "" || url.hash !== "")
      throw refuse('"?" is written %3F in an address, "#" is written %23');
    if (url.host !== "") throw refuse(`it names the host ${url.host}, not this machine`);
    path = fileURLToPath(url);
  } catch (error) {
    if (error instanceof ValidationError) throw error;
    throw refuse(reasonOf(error), error);
  }
  if (path.includes("\0")) throw refuse("it names no directory");
  return resolve(path);
}

/** As many links as Linux follows. */
const MOST_LINKS = 40;

/** A path without symbolic links, also where it leads to what does not exist. */
export function realPath(path: string, links = MOST_LINKS): string {
  try {
    return realpathSync.native(path);
  } catch {
    const parent = dirname(path);
    if (parent === path || links === 0) return path;
    const target = linkTarget(path);
    if (target === undefined) return join(realPath(parent, links), basename(path));
    return realPath(resolve(realPath(parent, links), target), links - 1);
  }
}

/**
 * Where a place lies inside another one, as a relative path: empty where they are the same, undefined where it lies
 * outside. By real paths, of what there is; what does not exist yet lies where its nearest parent leads.
 */
export function placeWithin(inner: string, outer: string): string | undefined {
  const path = relative(realPath(outer), realPath(inner));
  return path === ".." || /^\.\.[\\/]/.test(path) || isAbsolute(path) ? undefined : path;
}

/** Whether two paths name one place. */
export function isSamePlace(a: string, b: string): boolean {
  return a === b || realPath(a) === realPath(b);
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // no link, or not there
  }
}
