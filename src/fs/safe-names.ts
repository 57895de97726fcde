import { closeSync, openSync, readSync } from "node:fs";
import { CorruptError, ValidationError } from "../errors.ts";
import { isMissing, toIoError } from "./io.ts";

/**
 * Strays: what a file manager, or a program that keeps directories the same on several machines, puts beside our files
 * and LanceDB's. They are passed over by every listing, named by the doctor, and never removed, nor kept as if they were
 * data. This is the one place that knows what they are called.
 */

/** What file managers keep of a directory, and synchronising programs of themselves. */
const NOTES = new Set([
  ".ds_store",
  ".localized",
  ".apdisk",
  ".volumeicon.icns",
  ".spotlight-v100",
  ".trashes",
  ".fseventsd",
  ".temporaryitems",
  ".documentrevisions-v100",
  "icon\r",
  "desktop.ini",
  "thumbs.db",
  "ehthumbs.db",
  "$recycle.bin",
  "system volume information",
  ".directory",
  "lost+found",
  "@eadir",
  "#recycle",
  ".stfolder",
  ".stignore",
  ".stversions",
  ".dropbox",
  ".dropbox.attr",
  ".dropbox.cache",
  ".owncloudsync.log",
  ".nextcloudsync.log",
]);

/** What Mac OS keeps of a file on a foreign file system; half-received files; files that were removed while open. */
const BESIDE = /^(\._.|~syncthing~|\.syncthing\.|\.~lock\.|\.nfs[0-9a-f]{8}|\.fuse_hidden[0-9a-f])/;

/** Syncthing; Dropbox, ownCloud and Nextcloud, now and before. */
const CONFLICT_COPY =
  /\.sync-conflict-\d{8}-\d{6}|\((?:[^()]*\s)?conflicted copy\b[^()]*\)|_conflict-\d{8}-\d{6}/i;

/** Finder, iCloud and Explorer, browsers and Google Drive: a number or a word before what the name ends in. */
const DUPLICATE = /(?: \(\d+\)| \d+| copy(?: \d+)?| - copy(?: \(\d+\))?)(?=\.[^. ]*$|$)/i;

/** Whether a file's name is a stray's. (No directory of ours or LanceDB's has such a name either, but for `._`.) */
export function isStray(name: string): boolean {
  return NOTES.has(name.toLowerCase()) || BESIDE.test(name) || isCopy(name);
}

/** Whether a name is that of a second version of something, which a synchronising program has kept. */
export function isConflictCopy(name: string): boolean {
  return CONFLICT_COPY.test(name);
}

/** The same, or a duplicate that somebody has made by hand. To be asked only where no name of ours can hold a blank. */
export function isCopy(name: string): boolean {
  return CONFLICT_COPY.test(name) || DUPLICATE.test(name);
}

/** The start of every file that Mac OS keeps under `._<name>`. */
const APPLE_DOUBLE = Buffer.from([0, 5, 0x16, 7]);

/** Whether a file is what its name, `._<name>`, says: what Mac OS keeps of another file, and no content of it. */
export function isAppleDouble(path: string): boolean {
  const start = Buffer.alloc(APPLE_DOUBLE.length);
  try {
    const file = openSync(path, "r");
    try {
      readSync(file, start);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (isMissing(error)) return true; // gone by now
    throw toIoError(error, "read", path);
  }
  return start.equals(APPLE_DOUBLE);
}

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

/** A part that is empty, `.` or `..`, a backslash, a NUL, or a drive. */
const LEAVES = /(?:^|\/)\.{0,2}(?:\/|$)|\\|\0|^[A-Za-z]:/;

/**
 * Holds a relative path that was read from a file to its root: forward slashes, no empty part, no `.` or
 * `..`, not absolute, no drive, no NUL.
 */
export function assertInnerPath(path: string, source: string): void {
  if (LEAVES.test(path)) {
    throw new CorruptError(
      `${source} names a path that leaves its directory: ${JSON.stringify(path.slice(0, SHOWN_LETTERS))}.`,
      {
        path: source,
      },
    );
  }
}
