import {
  accessSync,
  constants,
  lstatSync,
  readdirSync,
  realpathSync,
  type Stats,
  statfsSync,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { IoError, ValidationError } from "../../errors.ts";
import { isMissing, toIoError } from "../../fs/io.ts";
import { isLeftover } from "./landing.ts";

/** Where a new database will be. */
export interface TargetPlace {
  /** Absolute, behind any symbolic link. */
  readonly path: string;
  /** The nearest directory that there is: the target, or one around it. */
  readonly near: string;
  /** Mode bits of the empty directory that is there; undefined where none is. */
  readonly mode: number | undefined;
  /**
   * Where the files are gathered before they get their place: beside the target; inside of it where it is a mount
   * point, or its surroundings cannot be written to.
   */
  readonly gather: "beside" | "inside";
}

/**
 * @param linkTo the repository's directory, where files are to be linked to it.
 * @throws ValidationError where the target is a file or not empty, or on another file system than `linkTo`.
 */
export function lookAtTarget(target: string, linkTo: string | undefined): TargetPlace {
  const path = realPath(target);
  const found = look(path);
  if (found && !found.isDirectory()) throw new ValidationError(`The target ${path} is a file.`);
  if (found) assertEmpty(path);
  const near = found ? path : nearest(dirname(path));
  const at = statSync(near);
  if (!at.isDirectory()) throw new ValidationError(`The target ${path} lies below ${near}, which is a file.`);
  if (linkTo !== undefined && statSync(linkTo).dev !== at.dev) {
    throw new ValidationError(
      `link needs one file system, and ${path} is on another than the repository ${linkTo}. Restore without link.`,
    );
  }
  const inside = found && (statSync(dirname(path)).dev !== found.dev || !isWritable(dirname(path)));
  return { path, near, mode: found && found.mode & 0o7777, gather: inside ? "inside" : "beside" };
}

/** @throws IoError (`ENOSPC`) naming both numbers. */
export function assertSpace(
  near: string,
  tables: readonly { readonly files: readonly { readonly size: number }[] }[],
) {
  const { bavail, bsize } = statfsSync(near, { bigint: true });
  let needed = 0n;
  for (const { files } of tables) {
    for (const { size } of files) needed += (BigInt(size) + bsize - 1n) / bsize;
  }
  if (needed <= bavail) return;
  throw new IoError(
    `There is no room at ${near}: the restore needs ${needed * bsize} bytes, and ${bavail * bsize} are free (ENOSPC). Nothing was written.`,
    { path: near, errno: "ENOSPC" },
  );
}

function assertEmpty(path: string): void {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch (error) {
    throw toIoError(error, "read", path);
  }
  const rest = names.filter((name) => !isLeftover(name, ""));
  if (rest.length === 0) return;
  throw new ValidationError(
    `The target ${path} is not empty: it has ${rest.slice(0, 3).join(", ")}${rest.length > 3 ? ", …" : ""}. Restore into a new directory, or in place.`,
  );
}

function realPath(target: string): string {
  const found = nearest(target);
  try {
    return join(realpathSync(found), target.slice(found.length));
  } catch (error) {
    throw toIoError(error, "read", found);
  }
}

/** The innermost part of a path that there is. */
function nearest(path: string): string {
  return look(path) || dirname(path) === path ? path : nearest(dirname(path));
}

/** Undefined where there is nothing. */
function look(path: string): Stats | undefined {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found?.isSymbolicLink()) return found;
    const behind = statSync(path, { throwIfNoEntry: false });
    if (behind) return behind;
  } catch (error) {
    if (isMissing(error)) return undefined; // below a file
    throw toIoError(error, "read", path);
  }
  throw new ValidationError(`The target's ${basename(path)} is a symbolic link to nothing: ${path}.`);
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false; // the error that matters comes from what is tried instead
  }
}
