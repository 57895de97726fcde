import { CorruptError } from "../../errors.ts";
import { isDigest, shown } from "../../fs/fields.ts";
import { isObject } from "../../fs/record.ts";
import {
  BLOB_BYTES,
  type EntryAttributes,
  type JsonObject,
  type Piece,
  type StoredEntry,
} from "../snapshot.ts";

/** @throws CorruptError naming `place` */
export function blobFrom(value: unknown, place: string, what: string): readonly [string, number] {
  const [name, bytes] = Array.isArray(value) ? (value as unknown[]) : [];
  if (isDigest(name) && isCount(bytes) && bytes <= BLOB_BYTES) return [name, bytes];
  throw corrupt(place, `${what} lists something that is not a blob: ${shown(value)}`);
}

/** @throws CorruptError naming `place` */
export function entryFrom(
  value: unknown,
  blobs: readonly (readonly [string, number])[],
  place: string,
  what: string,
): StoredEntry {
  const refuse = () => corrupt(place, `${what} lists something that is not a file: ${shown(value)}`);
  const [path, size, sha256, stamp, pieces, attributes] = Array.isArray(value) ? (value as unknown[]) : [];
  const ok =
    typeof path === "string" &&
    isCount(size) &&
    isDigest(sha256) &&
    (stamp === null || stamp === undefined || typeof stamp === "string");
  if (!ok) throw refuse();
  const given = pieces === undefined || pieces === null ? undefined : piecesFrom(pieces, blobs);
  if (given && sum(given, "bytes") !== size) throw refuse();
  const more = attributes === undefined ? undefined : attributesFrom(attributes, refuse);
  if (more?.directory && size > 0) throw refuse();
  return {
    path,
    size,
    sha256,
    ...(typeof stamp === "string" && { stamp }),
    ...(given && { pieces: given }),
    ...(more && { attributes: more }),
  };

  function piecesFrom(list: unknown, known: readonly (readonly [string, number])[]): Piece[] {
    if (!Array.isArray(list)) throw refuse();
    return list.map((piece: unknown) => {
      const [number, offset, bytes] = Array.isArray(piece) ? (piece as unknown[]) : [];
      const [blob, length] = (isCount(number) ? known[number] : undefined) ?? [];
      const fits =
        blob !== undefined &&
        length !== undefined &&
        isCount(offset) &&
        isCount(bytes) &&
        bytes > 0 &&
        offset + bytes <= length;
      if (!fits) throw refuse();
      return { blob, offset, bytes };
    });
  }
}

function attributesFrom(value: unknown, refuse: () => CorruptError): EntryAttributes {
  if (!areAttributes(value)) throw refuse();
  return knownAttributes(value);
}

function areAttributes(value: unknown): value is Record<string, unknown> {
  if (!isObject(value)) return false;
  const { mode, mtimeMs, link, directory, uid, gid, hardLink, sparse, xattrs } = value;
  const isCountOrNone = (number: unknown) => number === undefined || isCount(number);
  return (
    (mode === undefined || (isCount(mode) && mode <= PERMISSIONS)) &&
    (mtimeMs === undefined || (typeof mtimeMs === "number" && Number.isFinite(mtimeMs))) &&
    (link === undefined || typeof link === "string") &&
    [uid, gid, hardLink].every(isCountOrNone) &&
    [directory, sparse].every((flag) => flag === undefined || flag === true) &&
    (xattrs === undefined ||
      (isObject(xattrs) && Object.values(xattrs).every((bytes) => typeof bytes === "string")))
  );
}

/**
 * Attributes as a source gives them, as a document has them: of a mode the permission bits alone, and nothing that says no. Undefined
 * where they are none.
 */
export function attributesGiven(value: unknown): EntryAttributes | undefined {
  if (!isObject(value)) return undefined;
  const kept = keptAttributes(value);
  return areAttributes(kept) ? kept : undefined;
}

/** The same of those that were looked at. */
export function keptAttributes({ mode, directory, sparse, ...others }: EntryAttributes): EntryAttributes {
  const kept: Record<string, unknown> = { ...others, mode, directory, sparse };
  if (isCount(mode)) kept["mode"] = mode % (PERMISSIONS + 1);
  for (const flag of ["directory", "sparse"]) if (kept[flag] === false) delete kept[flag];
  return knownAttributes(kept);
}

/** The bits of a mode that say who may do what. The others say what kind of file it is. */
const PERMISSIONS = 0o7777;

const ATTRIBUTES = [
  "mode",
  "mtimeMs",
  "uid",
  "gid",
  "link",
  "directory",
  "hardLink",
  "sparse",
  "xattrs",
] as const;

/** Without members that a later version may have added. */
function knownAttributes(value: Readonly<Record<string, unknown>>): EntryAttributes {
  const known: Record<string, unknown> = {};
  for (const key of ATTRIBUTES) if (value[key] !== undefined) known[key] = value[key];
  return known;
}

/** The same of a line that `entryFrom` has held to the rules, or that was written by them. */
export function entryOf(value: unknown, blobs: readonly (readonly [string, number])[]): StoredEntry {
  type Line = [
    string,
    number,
    string,
    string | null,
    [number, number, number][] | null,
    JsonObject | undefined,
  ];
  const [path, size, sha256, stamp, numbered, attributes] = value as Line;
  const pieces = numbered?.map(([number, offset, bytes]) => ({
    blob: (blobs[number] as readonly [string, number])[0],
    offset,
    bytes,
  }));
  return {
    path,
    size,
    sha256,
    ...(typeof stamp === "string" && { stamp }),
    ...(pieces && { pieces }),
    ...(attributes && { attributes: knownAttributes(attributes) }),
  };
}

export function sum<K extends string>(list: readonly Record<K, number>[], key: K): number {
  return list.reduce((total, entry) => total + entry[key], 0);
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function corrupt(place: string, why: string, cause?: unknown): CorruptError {
  return new CorruptError(`The snapshot document ${place} is damaged: ${why}.`, { path: place, cause });
}
