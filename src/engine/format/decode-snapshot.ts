import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { CorruptError } from "../../errors.ts";
import { assertFormat, isObject } from "../../fs/record.ts";
import {
  BLOB_BYTES,
  type EntryAttributes,
  type PartContent,
  type Piece,
  type SnapshotSource,
  type StoredContent,
  type StoredEntry,
  type StoredPart,
  type StoredSnapshot,
} from "../snapshot.ts";
import { kindOf } from "../source-kind.ts";
import { assertPathsApart, namedPath } from "./check-paths.ts";
import { Fields } from "./fields.ts";
import { FORMAT, fitsSources, isDigest } from "./names.ts";
import { shown } from "./shown.ts";

/** `"}` and a newline after the 64 digits of the checksum. */
const TRAILER_BYTES = 67;

/** What a listing needs, from the first line of a document. Nothing after it is looked at, and the checksum is not. */
export function decodeSummary(firstLine: string, id: string, place: string): StoredSnapshot {
  assertKnownFormat(firstLine, place);
  return summaryFrom(
    parseJson(() => `${firstLine}]}`, place),
    id,
    place,
  );
}

/**
 * A whole document, every rule of docs/formats.md checked.
 *
 * @throws CorruptError naming the place where it is damaged, edited or breaks a rule.
 * @throws UnsupportedError for a format that this version does not know.
 */
export function decodeSnapshot(bytes: Uint8Array, id: string, place: string): StoredContent {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const checksum = checkedDigest(file, place);
  const document = parseJson(() => file.toString("utf8"), place);
  const summary = summaryFrom(document, id, place);
  const firstLine = file.subarray(0, Math.max(0, file.indexOf("\n"))).toString("utf8");
  if (!isDeepStrictEqual(decodeSummary(firstLine, id, place), summary)) {
    throw corrupt(place, "its first line says something else than the rest of it");
  }
  const list = document["parts"];
  if (!Array.isArray(list) || list.length !== summary.parts.length) {
    throw corrupt(place, "its parts are not those of its summary");
  }
  const parts = summary.parts.map((part, index) => partFrom(part, list[index], `part ${index + 1}`, place));
  assertOneSize(parts, place);
  return { snapshot: { ...summary, checksum }, parts };
}

/** What is looked for and counted is a blob, whichever of its uses says how large it is. */
function assertOneSize(parts: readonly PartContent[], place: string): void {
  const sizes = new Map<string, number>();
  const add = (name: string, bytes: number) => {
    const known = sizes.get(name);
    if (known === undefined) sizes.set(name, bytes);
    else if (known !== bytes) throw corrupt(place, `it says two sizes of the blob ${name}`);
  };
  for (const { blobs, entries } of parts) {
    for (const [name, bytes] of blobs) add(name, bytes);
    for (const { sha256, size, pieces } of entries) if (!pieces) add(sha256, size);
  }
}

function checkedDigest(file: Buffer, place: string): string {
  const digest = file.toString("latin1", file.length - TRAILER_BYTES, file.length - 3);
  if (!isDigest(digest) || file.toString("latin1", file.length - 3) !== '"}\n') {
    assertKnownFormat(file.toString("latin1", 0, 40), place);
    throw corrupt(place, "it is cut short");
  }
  const body = file.subarray(0, file.length - TRAILER_BYTES);
  if (createHash("sha256").update(body).digest("hex") !== digest) {
    assertKnownFormat(file.toString("latin1", 0, 40), place);
    throw corrupt(place, "it was changed by hand or is damaged, its checksum does not fit");
  }
  return digest;
}

/** Another format may have other lines, and end in another way: that is the better message. */
function assertKnownFormat(beginning: string, place: string): void {
  const format = /^\{"format":(\d{1,9})[,}]/.exec(beginning)?.[1];
  if (format) assertFormat(Number(format), place, FORMAT);
}

function summaryFrom(document: Record<string, unknown>, id: string, place: string): StoredSnapshot {
  assertFormat(document["format"], place, FORMAT);
  const fields = new Fields(document["summary"], place, "summary");
  if (fields.text("id") !== id) throw corrupt(place, `it calls itself ${shown(fields.text("id"))}`);
  const software = fields.object("software");
  const parts = fields.objects("parts").map((part) => summaryOfPart(part, place));
  if (parts.length === 0) throw corrupt(place, "it has no part");
  const sources = new Set(parts.map(({ source }) => JSON.stringify([source.type, source.id])));
  if (sources.size < parts.length) throw corrupt(place, "two of its parts are of one source");
  if (!fitsSources(id, parts)) throw corrupt(place, "its id is not one of its source");
  const snapshot = {
    id,
    name: fields.optionalText("name"),
    description: fields.optionalText("description"),
    tags: fields.texts("tags"),
    createdAt: fields.date("createdAt"),
    durationMs: fields.count("durationMs"),
    files: fields.count("files"),
    bytes: fields.count("bytes"),
    newFiles: fields.count("newFiles"),
    newBytes: fields.count("newBytes"),
    storedBytes: fields.count("storedBytes"),
    parts,
    software: { lancedbBackup: software.text("lancedbBackup"), node: software.text("node") },
  };
  for (const key of ["files", "bytes"] as const) {
    if (sum(parts, key) !== snapshot[key]) throw corrupt(place, `its ${key} are not those of its parts`);
  }
  return snapshot;
}

function summaryOfPart(fields: Fields, place: string): StoredPart {
  const part = {
    source: sourceFrom(fields.object("source"), place),
    files: fields.count("files"),
    bytes: fields.count("bytes"),
    about: fields.record("about"),
  };
  kindOf(part.source.type)?.assertAbout?.(part, place);
  return part;
}

function sourceFrom(fields: Fields, place: string): SnapshotSource {
  const source = {
    type: fields.text("type"),
    id: fields.text("id"),
    uri: fields.text("uri"),
    host: fields.text("host"),
  };
  if (source.id === "") throw corrupt(place, "its source has no id");
  if (source.type === "") throw corrupt(place, "its source is of no kind");
  return source;
}

function partFrom(summary: StoredPart, value: unknown, what: string, place: string): PartContent {
  const fields = new Fields(value, place, what);
  const source = sourceFrom(fields.object("source"), place);
  if (!isDeepStrictEqual(source, summary.source)) {
    throw corrupt(place, `${what} is of another source than its summary says`);
  }
  const blobs = fields.list("blobs").map((blob) => blobFrom(blob, place, what));
  const sizes = new Map(blobs);
  if (sizes.size < blobs.length) throw corrupt(place, `${what} lists a blob twice`);
  const entries = eachInPlace(fields.list("entries"), (entry) => entryFrom(entry, blobs, place, what));
  assertEntries(entries, summary, `${place}, ${what}`, place);
  const part = { ...summary, details: fields.record("details"), entries, blobs: sizes };
  kindOf(source.type)?.assertPart?.(part, place);
  return part;
}

/** What is read takes the place of what it was read from: of a million entries, both at once would be twice the memory. */
function eachInPlace<T>(list: unknown[], read: (value: unknown) => T): T[] {
  for (let index = 0; index < list.length; index++) list[index] = read(list[index]);
  return list as T[];
}

function blobFrom(value: unknown, place: string, what: string): readonly [string, number] {
  const [name, bytes] = Array.isArray(value) ? (value as unknown[]) : [];
  if (isDigest(name) && isCount(bytes) && bytes <= BLOB_BYTES) return [name, bytes];
  throw corrupt(place, `${what} lists something that is no blob: ${shown(value)}`);
}

function entryFrom(
  value: unknown,
  blobs: readonly (readonly [string, number])[],
  place: string,
  what: string,
): StoredEntry {
  const refuse = () => corrupt(place, `${what} lists something that is no file: ${shown(value)}`);
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
  if (!isObject(value)) throw refuse();
  const { mode, mtimeMs, link, directory, uid, gid, hardLink, sparse } = value;
  const isCountOrNone = (number: unknown) => number === undefined || isCount(number);
  const ok =
    (mode === undefined || (isCount(mode) && mode <= 0o7777)) &&
    (mtimeMs === undefined || (typeof mtimeMs === "number" && Number.isFinite(mtimeMs))) &&
    (link === undefined || typeof link === "string") &&
    [uid, gid, hardLink].every(isCountOrNone) &&
    [directory, sparse].every((flag) => flag === undefined || flag === true);
  if (!ok) throw refuse();
  const known = { mode, mtimeMs, uid, gid, link, directory, hardLink, sparse };
  return Object.fromEntries(Object.entries(known).filter(([, one]) => one !== undefined));
}

function assertEntries(
  entries: readonly StoredEntry[],
  summary: StoredPart,
  where: string,
  place: string,
): void {
  assertPathsApart(pathsOf(entries), where);
  if (entries.length !== summary.files) throw corrupt(place, "its count of files is not that of its summary");
  if (sum(entries, "size") !== summary.bytes) throw corrupt(place, "its sizes are not those of its summary");
}

function* pathsOf(entries: readonly StoredEntry[]) {
  for (const entry of entries) yield namedPath(entry);
}

function sum<K extends string>(list: readonly Record<K, number>[], key: K): number {
  return list.reduce((total, entry) => total + entry[key], 0);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** @param text may throw, too: a string has its limits. */
function parseJson(text: () => string, place: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text());
    if (isObject(document)) return document;
  } catch (error) {
    throw corrupt(place, "it is not JSON", error);
  }
  throw corrupt(place, "it holds no document");
}

function corrupt(place: string, why: string, cause?: unknown): CorruptError {
  return new CorruptError(`The snapshot document ${place} is damaged: ${why}.`, { path: place, cause });
}
