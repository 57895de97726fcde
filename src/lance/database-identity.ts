import { createHash, randomUUID } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { IoError } from "../errors.ts";
import { syncDirectory, syncFile } from "../fs/durable.ts";
import { plainStampOf } from "../fs/held-root.ts";
import { errnoOf, isMissing, toIoError } from "../fs/io.ts";
import { realPath } from "../fs/local-path.ts";
import { nameNew } from "../fs/name-file.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { ensurePrivateDirectory, PRIVATE_DIRECTORY, privateDirectory } from "./private-directory.ts";

/** Errors by which a place says that this process can write nothing there, or nothing more. */
const NOT_WRITABLE = new Set(["EROFS", "EACCES", "EPERM", "ENOSPC", "EDQUOT"]);

const ID = /^[\x21-\x7e]{1,100}$/;

/**
 * Which database a directory is, for snapshots: the same wherever it is mounted or moved to, whoever looks, on whatever
 * host. A UUID that is kept in the directory itself, in a file that is named after the directory's stamp: a copy of the
 * directory has the file under the name of another, and so gets an id of its own.
 */
export interface DatabaseIdentity {
  readonly id: string;
  /**
   * `kept`: beside the database. `new`: nothing is kept yet, and it can be. `derived`: from the real path, since
   * nothing can be written there; the same for every machine on which the database has that path.
   */
  readonly origin: "kept" | "new" | "derived";
}

/**
 * Which database this is. Reads, never writes: of one that has no id yet, what it would get, another at each call.
 *
 * @example
 * ```ts
 * const { id, origin } = identifyDatabase("data/lancedb-table");
 * ```
 */
export function identifyDatabase(database: string): DatabaseIdentity {
  const kept = keptIdentity(database);
  if (kept !== undefined) return { id: kept, origin: "kept" };
  return isWritable(database) ? { id: randomUUID(), origin: "new" } : derived(database);
}

/** The id that is kept beside a database; undefined where none is that is its own, or that can be read. */
function keptIdentity(database: string): string | undefined {
  try {
    const path = placeOf(database);
    const text = path === undefined ? "" : readFileSync(path, "utf8").trim();
    return ID.test(text) ? text : undefined; // what is damaged is made anew
  } catch (error) {
    if (isMissing(error) || errnoOf(error) === "EACCES") return undefined;
    throw toIoError(error, "read", privateDirectory(database, "identity"));
  }
}

/**
 * Makes an identity last, and answers with what counts from now on: of several that come at once the first one's. Where
 * nothing can be written it is derived.
 */
export async function keepIdentity(database: string, identity: DatabaseIdentity): Promise<DatabaseIdentity> {
  if (identity.origin !== "new") return identity;
  try {
    await write(database, identity.id, "unless-kept");
    return { id: keptIdentity(database) ?? identity.id, origin: "kept" };
  } catch (error) {
    if (isRefused(error)) return derived(database);
    throw error;
  }
}

/** Gives a database an id that somebody has chosen. Tells whether it could be kept. */
export async function setIdentity(database: string, id: string): Promise<boolean> {
  if (keptIdentity(database) === id) return true;
  try {
    await write(database, id, "replace");
    return true;
  } catch (error) {
    if (isRefused(error)) return false;
    throw error;
  }
}

async function write(database: string, id: string, how: "unless-kept" | "replace"): Promise<void> {
  const directory = ensurePrivateDirectory(database, "identity");
  const path = placeOf(database); // an overlay may number the database anew when something is made in it
  if (path === undefined) return;
  const temporary = join(directory, `.${randomUUID()}.tmp`);
  try {
    writeFileSync(temporary, `${id}\n`, { flag: "wx" });
    takeOwner(temporary);
    await syncFile(temporary);
    const isDamaged = existsSync(path) && keptIdentity(database) === undefined;
    if (how === "replace" || isDamaged) renameSync(temporary, path);
    else await nameNew(temporary, path);
  } catch (error) {
    throw toIoError(error, "write", path);
  } finally {
    rmSync(temporary, { force: true });
  }
  await syncDirectory(directory);
}

/** Undefined where there is no directory. */
function placeOf(database: string): string | undefined {
  const stamp = plainStampOf(database);
  if (stamp === undefined) return undefined;
  const name = createHash("sha256").update(stamp).digest("hex").slice(0, 16);
  return join(privateDirectory(database, "identity"), name);
}

/** A UUID of the kind that is made of other data (version 8). */
function derived(database: string): DatabaseIdentity {
  const hex = createHash("sha256")
    .update(`lancedb ${realPath(database)}`)
    .digest("hex");
  const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  return { id, origin: "derived" };
}

function isWritable(database: string): boolean {
  const places = [privateDirectory(database, "identity"), join(database, PRIVATE_DIRECTORY), database];
  try {
    accessSync(places.find((place) => existsSync(place)) ?? database, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false; // for whatever reason: the id is derived then
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof IoError && NOT_WRITABLE.has(error.errno ?? "");
}
