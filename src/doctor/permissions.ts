import { accessSync, constants, type Dirent, lstatSync, readdirSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { isMissing } from "../fs/io.ts";
import { counted } from "../util/format.ts";
import type { Finding } from "./finding.ts";
import { quote } from "./remedies.ts";

const { R_OK, W_OK, X_OK } = constants;

/** Directories of a database that this process may not look into: nothing can be said of what is in it then. */
export function diagnoseReadable(database: string): Finding[] {
  const directories = [database, ...directoriesIn(database)];
  return directories
    .filter((path) => !may(path, R_OK | X_OK))
    .map((path) => ({
      check: "permissions",
      about: path,
      level: "problem",
      details: `It cannot be read by ${user()}: nothing can be backed up, and the tables were not looked at.`,
      advice: "Give this user the right to read it, or work as the user who owns it.",
    }));
}

/** Whether this process may write where a backup writes. */
export function diagnoseWritable(repository: string): Finding[] {
  const blobs = join(repository, "blobs");
  const places = [repository, blobs, ...directoriesIn(blobs), join(repository, "snapshots")];
  const locked = places.filter((path) => !may(path, R_OK | W_OK | X_OK));
  const [first, ...others] = locked;
  if (first === undefined) return [];
  const more = others.length > 0 ? ` and ${others.length} more directories of it` : "";
  return [
    {
      check: "permissions",
      about: repository,
      level: "problem",
      details: `${first}${more} cannot be written to by ${user()}: backups fail, and so does prune.`,
      advice:
        "Back up as the user who owns the repository, or give this one the right to write to all of it.",
    },
  ];
}

export function isReadable(file: string): boolean {
  return may(file, R_OK);
}

function user(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.()}`; // one without a name
  }
}

/** True for what is not there: that is told elsewhere. */
function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch (error) {
    return isMissing(error);
  }
}

function directoriesIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name));
  } catch {
    return []; // told of the directory itself, or not there
  }
}

/**
 * Files and directories that belong to another user than the directory that they are in: left by root, mostly, and
 * some day in the way of the user whose directory it is.
 *
 * @param root a database or a repository. @param what it is, for people.
 */
export function diagnoseOwners(root: string, what: string, signal?: AbortSignal): Finding[] {
  const foreign: string[] = [];
  const owner = lstatSync(root).uid;
  for (const path of pathsBelow(root)) {
    signal?.throwIfAborted();
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found && found.uid !== owner) foreign.push(path);
  }
  const [first, ...others] = foreign;
  if (first === undefined) return [];
  const more = others.length > 0 ? ` and ${counted(others.length, "more path")}` : "";
  return [
    {
      check: "owners",
      about: root,
      level: "warning",
      details: `${first}${more} in the ${what} belong to another user than the ${what} itself (user ${owner}), which may keep that user from writing.`,
      advice: `As root: chown -R --reference=${quote(root)} ${quote(root)}`,
    },
  ];
}

function* pathsBelow(directory: string): Generator<string> {
  let entries: Dirent[];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return; // gone meanwhile, or not to be read, which is told elsewhere
  }
  for (const entry of entries) {
    const path = join(directory, entry.name);
    yield path;
    if (entry.isDirectory()) yield* pathsBelow(path);
  }
}
