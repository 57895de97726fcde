import { readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";

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
