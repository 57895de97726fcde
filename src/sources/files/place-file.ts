import { createHash, randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { EntryAttributes, StoredEntry } from "../../engine/snapshot.ts";
import { CorruptError, IoError } from "../../errors.ts";
import { isNoFileNow, isNotWritable, toIoError } from "../../fs/io.ts";
import { hasNoLinks } from "../../fs/name-file.ts";
import { isRoot, keepsOwners } from "../../fs/take-owner.ts";
import { livenessOfToken, PROCESS_TOKEN } from "../../fs/this-process.ts";
import { type FileName, joinName, shownName, unescapeText } from "./file-names.ts";
import { modeWithoutList, type XattrWriter } from "./xattrs.ts";

/** `.lancedb-backup-restore-<process>.<uuid>`: a file in place that has not its name yet. */
const HALF = ".lancedb-backup-restore-";
const HALF_REST = /^([\w-]+)\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HOLE_BYTES = 64 << 10;
const ZEROS = Buffer.alloc(HOLE_BYTES);
/** Of the mode: who runs a file runs it as its owner. Not without the owner that it is about. */
const SET_ID = 0o6000;
const OWNER = 0o700;
const GROUP = 0o070;
/** Nothing that a link leads to, and no waiting for who writes to a pipe. */
const PLAIN = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
/** Windows changes no attributes by what is open to be read. */
const CHANGES_OPEN = process.platform !== "win32";

/** Whose what is restored becomes: the snapshot's where that is asked for; else as root the owner of the directory around it. */
export class Owners {
  readonly areKept: boolean;
  /** How many could not be given. */
  refused = 0;

  constructor(areKept: boolean) {
    this.areKept = areKept;
  }

  /** @returns whether it is the snapshot's. */
  give(attributes: EntryAttributes, place: FileName, chown: (uid: number, gid: number) => void): boolean {
    const owner = this.#ownerOf(attributes, place);
    if (!owner) return false;
    try {
      chown(owner.uid, owner.gid);
      return this.areKept;
    } catch (error) {
      if (!keepsOwners(error)) throw error;
      if (this.areKept) this.refused++;
      return false;
    }
  }

  inWords(): string {
    return `${this.refused.toLocaleString("en")} files do not have the owner that they have in the snapshot: this process may not set it`;
  }

  #ownerOf(
    { uid, gid }: EntryAttributes,
    place: FileName,
  ): { readonly uid: number; readonly gid: number } | undefined {
    if (this.areKept) return uid === undefined || gid === undefined ? undefined : { uid, gid };
    if (!isRoot()) return undefined;
    return statSync(typeof place === "string" ? dirname(place) : place.subarray(0, place.lastIndexOf(0x2f)));
  }
}

export interface PlaceOptions {
  readonly owners: Owners;
  /** Undefined: of what can have none. */
  readonly xattrs?: XattrWriter | undefined;
  /** What has the name is replaced; else nothing has. */
  readonly isInPlace: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a file, whole and with its attributes when it has its name. In place it is on the disk by then.
 *
 * @returns what is to be done when it has its extended attributes, which many files are given together: not in place.
 * @throws CorruptError
 */
export async function writeFile(
  place: FileName,
  entry: StoredEntry,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { owners, xattrs, isInPlace, signal }: PlaceOptions,
): Promise<(() => void) | undefined> {
  const written = isInPlace ? halfBeside(place) : place;
  const attributes = entry.attributes ?? {};
  let file: number | undefined;
  try {
    file = openSync(written, "wx", 0o600);
    await writeContent(file, entry, content, signal);
    const isTheirs = owners.give(attributes, place, (uid, gid) => fchownSync(file as number, uid, gid));
    const isLater = xattrs?.has(attributes);
    if (isLater && isInPlace) await xattrs?.give([{ place: written, attributes }]);
    const change = (at: number | FileName) => settle(at, attributes, owners, isTheirs);
    if (!isLater || isInPlace) change(file);
    if (isInPlace || typeof place !== "string") fsyncSync(file);
    const identity = isLater && !isInPlace ? identityOf(file) : undefined;
    closeSync(file);
    file = undefined;
    if (isInPlace) renameSync(written, place);
    else if (identity) return () => changeSame(written, identity, change);
    return undefined;
  } catch (error) {
    if (file !== undefined) closeSync(file);
    if (isInPlace) rmSync(written, { force: true });
    throw toIoError(error, "write", shownName(place));
  }
}

/** Which file it is, whatever its name. */
export type Identity = Pick<Stats, "dev" | "ino">;

/** Of many files all the rest would be much memory. */
function identityOf(file: number): Identity {
  const { dev, ino } = fstatSync(file);
  return { dev, ino };
}

/**
 * Changes what was written here, and nothing that has its name by now: as root this works in directories of others. For who is not root
 * nothing else could be changed than what is theirs; some file systems give files other numbers after a while.
 *
 * @throws IoError
 */
function changeSame(place: FileName, { dev, ino }: Identity, change: (at: number | FileName) => void): void {
  let file: number | undefined;
  try {
    file = openToChange(place);
    if (isRoot()) {
      const now = file === undefined ? lstatSync(place) : fstatSync(file);
      if (now.dev !== dev || now.ino !== ino) throw replaced(place);
    }
    change(file ?? place);
    // Of what is text the caller does it, for many together.
    if (file !== undefined && typeof place !== "string") fsyncSync(file);
  } catch (error) {
    throw toIoError(error, "write", shownName(place));
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Undefined where it has to be done by its name. */
function openToChange(place: FileName): number | undefined {
  if (!CHANGES_OPEN) return undefined;
  try {
    return openSync(place, PLAIN);
  } catch (error) {
    // Its access list may keep its owner from reading it.
    if (isNotWritable(error) && !isRoot()) return undefined;
    throw isNoFileNow(error) ? replaced(place) : error;
  }
}

function replaced(place: FileName): IoError {
  const path = shownName(place);
  return new IoError(`${path} was replaced by something else while it was restored.`, { path });
}

/** Last: a file that may not be written to is given no attributes of users. */
function settle(at: number | FileName, attributes: EntryAttributes, owners: Owners, isTheirs: boolean): void {
  const mode = modeOf(at, attributes, owners, isTheirs);
  if (mode !== undefined) setMode(at, mode);
  if (attributes.mtimeMs === undefined) return;
  const seconds = attributes.mtimeMs / 1000;
  if (typeof at === "number") futimesSync(at, seconds, seconds);
  else utimesSync(at, seconds, seconds);
}

function setMode(at: number | FileName, mode: number): void {
  if (typeof at === "number") fchmodSync(at, mode);
  else chmodSync(at, mode);
}

function modeNow(at: number | FileName): number {
  return (typeof at === "number" ? fstatSync(at) : lstatSync(at)).mode & 0o7777;
}

function modeOf(
  at: number | FileName,
  { mode, xattrs }: EntryAttributes,
  { areKept }: Owners,
  isTheirs: boolean,
): number | undefined {
  if (mode === undefined) return undefined;
  const narrow = modeWithoutList(mode, xattrs);
  // A list that was set has set the group's bits, which the file was made without.
  const isListed = narrow !== mode && areKept && (modeNow(at) & GROUP) === (mode & GROUP);
  return (isListed ? mode : narrow) & (isTheirs ? 0o7777 : ~SET_ID & 0o7777);
}

async function writeContent(
  file: number,
  { path, size, sha256, attributes }: StoredEntry,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const hash = createHash("sha256");
  let position = 0;
  for await (const stretch of content) {
    signal?.throwIfAborted();
    hash.update(stretch);
    writeStretch(file, stretch, position, attributes?.sparse === true);
    position += stretch.length;
  }
  if (attributes?.sparse) ftruncateSync(file, position);
  if (position === size && hash.digest("hex") === sha256) return;
  throw new CorruptError(`${path} has other content than in the snapshot: one of its blobs is damaged.`, {
    path,
  });
}

/** Of what had holes, stretches of zeros become holes again. */
function writeStretch(file: number, stretch: Uint8Array, position: number, isSparse: boolean): void {
  const step = isSparse ? HOLE_BYTES : Math.max(stretch.length, 1);
  for (let from = 0; from < stretch.length; from += step) {
    const block = stretch.subarray(from, from + step);
    if (isSparse && ZEROS.subarray(0, block.length).equals(block)) continue;
    for (let written = 0; written < block.length; ) {
      written += writeSync(file, block, written, block.length - written, position + from + written);
    }
  }
}

/** False where the file system makes no links. */
export function writeLink(from: FileName, to: FileName, isInPlace: boolean): boolean {
  const made = isInPlace ? halfBeside(to) : to;
  try {
    linkSync(from, made);
    if (isInPlace) renameOrRemove(made, to);
    return true;
  } catch (error) {
    if (hasNoLinks(error)) return false;
    throw toIoError(error, "link to", shownName(to));
  }
}

/** Of two names of one file a rename does nothing, and leaves both. */
function renameOrRemove(from: FileName, to: FileName): void {
  renameSync(from, to);
  rmSync(from, { force: true });
}

export function writeSymlink(
  place: FileName,
  attributes: EntryAttributes,
  owners: Owners,
  isInPlace: boolean,
): void {
  const made = isInPlace ? halfBeside(place) : place;
  try {
    symlinkSync(unescapeText(attributes.link ?? "", shownName(place)), made);
    owners.give(attributes, place, (uid, gid) => lchownSync(made, uid, gid));
    if (attributes.mtimeMs !== undefined)
      lutimesSync(made, attributes.mtimeMs / 1000, attributes.mtimeMs / 1000);
    if (isInPlace) renameSync(made, place);
  } catch (error) {
    if (isInPlace) rmSync(made, { force: true });
    throw toIoError(error, "write", shownName(place));
  }
}

/** Of a directory. @throws IoError */
export function applyAttributes(
  place: FileName,
  identity: Identity,
  attributes: EntryAttributes,
  owners: Owners,
): void {
  changeSame(place, identity, (at) => {
    const isTheirs = owners.give(attributes, place, (uid, gid) =>
      typeof at === "number" ? fchownSync(at, uid, gid) : lchownSync(at, uid, gid),
    );
    settle(at, attributes, owners, isTheirs);
  });
}

/** A directory that is to get an access list: its group may do no more than without one until it has it. @throws IoError */
export function narrowToGroup(place: FileName, identity: Identity, { mode, xattrs }: EntryAttributes): void {
  if (mode === undefined) return;
  const narrow = modeWithoutList(mode, xattrs);
  if (narrow === mode) return;
  changeSame(place, identity, (at) => setMode(at, (modeNow(at) & ~GROUP) | (narrow & GROUP)));
}

/** Gives a directory its mode, but that its owner can move it, whatever the mode and its access list say. @throws IoError */
export function openToOwner(
  place: FileName,
  identity: Identity,
  attributes: EntryAttributes,
  owners: Owners,
): void {
  changeSame(place, identity, (at) =>
    setMode(at, (modeOf(at, attributes, owners, false) ?? modeNow(at)) | OWNER),
  );
}

function halfBeside(place: FileName): FileName {
  const name = `${HALF}${PROCESS_TOKEN}.${randomUUID()}`;
  if (typeof place === "string") return `${dirname(place)}/${name}`;
  return joinName(place.subarray(0, place.lastIndexOf(0x2f)), name);
}

/** Whether it is a file, or a link, that a restore has not finished. */
export function isHalf(name: FileName, found: Stats): boolean {
  return (
    typeof name === "string" && tokenOfHalf(name) !== undefined && (found.isFile() || found.isSymbolicLink())
  );
}

/** Of the process that writes it; undefined for any other name. */
function tokenOfHalf(name: string): string | undefined {
  if (!name.startsWith(HALF)) return undefined; // nearly all are others
  return HALF_REST.exec(name.slice(HALF.length))?.[1];
}

/** Removes what dead restores have left in a directory. */
export function sweepHalves(directory: FileName): void {
  for (const name of readdirSync(directory)) {
    const token = tokenOfHalf(name);
    if (token === undefined) continue;
    const place = joinName(directory, name);
    const found = lstatSync(place, { throwIfNoEntry: false });
    if (!found || !isHalf(name, found)) continue;
    if (livenessOfToken(token, shownName(place)) === "dead") unlinkSync(place);
  }
}
