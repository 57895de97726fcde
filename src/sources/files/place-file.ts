import { createHash, randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
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
import { CorruptError } from "../../errors.ts";
import { toIoError } from "../../fs/io.ts";
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
    const mode = modeOf(attributes, owners, isTheirs);
    const isLater = xattrs?.has(attributes);
    if (isLater && isInPlace) await xattrs?.give([{ place: written, attributes }]);
    if (!isLater || isInPlace) settle(file, mode, attributes);
    if (isInPlace || typeof place !== "string") fsyncSync(file);
    closeSync(file);
    file = undefined;
    if (isInPlace) renameSync(written, place);
    else if (isLater) return () => settle(written, mode, attributes);
    return undefined;
  } catch (error) {
    if (file !== undefined) closeSync(file);
    if (isInPlace) rmSync(written, { force: true });
    throw toIoError(error, "write", shownName(place));
  }
}

/** Last: a file that may not be written to is given no attributes of users. */
function settle(file: number | FileName, mode: number | undefined, { mtimeMs }: EntryAttributes): void {
  if (mode !== undefined) {
    if (typeof file === "number") fchmodSync(file, mode);
    else chmodSync(file, mode);
  }
  if (mtimeMs === undefined) return;
  const seconds = mtimeMs / 1000;
  if (typeof file === "number") futimesSync(file, seconds, seconds);
  else utimesSync(file, seconds, seconds);
}

function modeOf(
  { mode, xattrs }: EntryAttributes,
  { areKept }: Owners,
  isTheirs: boolean,
): number | undefined {
  if (mode === undefined) return undefined;
  const own = areKept ? mode : modeWithoutList(mode, xattrs);
  return own & (isTheirs ? 0o7777 : ~SET_ID & 0o7777);
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

/** Of a directory. */
export function applyAttributes(place: FileName, attributes: EntryAttributes, owners: Owners): void {
  const isTheirs = owners.give(attributes, place, (uid, gid) => lchownSync(place, uid, gid));
  settle(place, modeOf(attributes, owners, isTheirs), attributes);
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
