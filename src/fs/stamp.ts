import { statSync } from "node:fs";
import { ifThere } from "./held-root.ts";

const NS_PER_MS = 1_000_000n;

/**
 * What tells a directory from a copy of it: where it lies on its file system, and since when. It stays the same
 * when the directory, or one above it, is renamed, and changes when it is copied, unpacked, or moved to another
 * file system. Undefined where there is none.
 */
export function stampOf(directory: string): string | undefined {
  const stat = ifThere(directory, () => statSync(directory, { bigint: true, throwIfNoEntry: false }));
  return stat && `${stat.ino} ${stat.birthtimeNs}`;
}

/**
 * Whether a stamp is that of a directory. To the millisecond: Deno knows no smaller part of a file's times, and another
 * runtime may have written it.
 */
export function isStampOf(stamp: unknown, directory: string): boolean {
  const actual = stampOf(directory);
  return (
    typeof stamp === "string" && actual !== undefined && inMilliseconds(stamp) === inMilliseconds(actual)
  );
}

/** The same for every runtime: with the time in milliseconds. */
export function plainStampOf(directory: string): string | undefined {
  const stamp = stampOf(directory);
  return stamp && inMilliseconds(stamp);
}

function inMilliseconds(stamp: string): string {
  const [, inode, nanoseconds] = /^(\d+) (\d+)$/.exec(stamp) ?? [];
  return nanoseconds === undefined ? stamp : `${inode} ${BigInt(nanoseconds) / NS_PER_MS}`;
}
