import { statSync } from "node:fs";

/**
 * What tells a directory from a copy of it: where it lies on its file system, and since when. It stays the same
 * when the directory, or one above it, is renamed, and changes when it is copied, unpacked, or moved to another
 * file system. Undefined where there is none.
 */
export function stampOf(directory: string): string | undefined {
  const stat = statSync(directory, { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.ino} ${stat.birthtimeNs}`;
}
