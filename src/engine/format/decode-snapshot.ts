import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { Fields, isDigest, shown } from "../../fs/fields.ts";
import { assertFormat, isObject } from "../../fs/record.ts";
import { MOST_DOCUMENT_BYTES, tooLarge } from "../read-small.ts";
import type {
  PartContent,
  SnapshotSource,
  StoredContent,
  StoredEntry,
  StoredPart,
  StoredSnapshot,
} from "../snapshot.ts";
import { kindOf, loadKindsIn } from "../source-kind.ts";
import { assertEachApart, assertPathsApart, namedPath } from "./check-paths.ts";
import { blobFrom, corrupt, entryFrom, sum } from "./decode-entry.ts";
import { DocumentLines, type LinesOfPart, TRAILER_BYTES } from "./decode-lines.ts";
import { FORMAT, fitsSources } from "./names.ts";

/**
 * A document of more, of some 65,000 files, is read line by line, and what it says of files is kept as lines. Each walk through
 * them takes time that objects do not, so that short ones are objects.
 */
const LONG_BYTES = 16 << 20;

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
 * Holds what a listing will read of a document to its rules, before it is written: sources and their kinds may be a user's, and a snapshot
 * that could not be read again would pass for a good one.
 *
 * @param what it would be a snapshot of. @throws CorruptError naming it.
 */
export function assertSummary(bytes: Uint8Array, id: string, what: string): void {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  decodeSummary(firstLineOf(file), id, what);
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

/**
 * The same of a document that comes in pieces. One of more than 16 MiB is never in memory as a whole, and its entries are made when they
 * are asked for; it must be in the lines that docs/formats.md lays down.
 *
 * @param most bytes that a document can have.
 * @throws as `decodeSnapshot`, and what the pieces throw.
 */
export async function readSnapshot(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { id, place, most = MOST_DOCUMENT_BYTES, long = LONG_BYTES, chunk }: ReadSnapshotOptions,
): Promise<StoredContent> {
  const beginning: Uint8Array[] = [];
  let lines: DocumentLines | undefined;
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > most) throw tooLarge(place, most);
    if (lines) lines.push(piece);
    else beginning.push(piece);
    if (lines || bytes <= long) continue;
    lines = new DocumentLines(place, chunk);
    for (const each of beginning.splice(0)) lines.push(each);
  }
  if (!lines) {
    const whole = Buffer.concat(beginning, bytes);
    await loadKindsIn(firstLineOf(whole));
    return decodeSnapshot(whole, id, place);
  }
  await loadKindsIn(lines.firstLine);
  return contentOf(lines, id, place);
}

interface ReadSnapshotOptions {
  readonly id: string;
  readonly place: string;
  readonly most?: number;
  /** @internal Bytes of a document that is read by lines. */
  readonly long?: number;
  /** @internal Bytes of lines that are looked at together. */
  readonly chunk?: number | undefined;
}

function contentOf(lines: DocumentLines, id: string, place: string): StoredContent {
  const checksum = lines.checksum;
  if (!("checksum" in checksum)) {
    assertKnownFormat(lines.firstLine, place);
    throw corrupt(place, checksum.wrong);
  }
  if (lines.failure) {
    assertKnownFormat(lines.firstLine, place);
    throw lines.failure;
  }
  const summary = summaryFrom(lines.head, id, place);
  if (lines.parts.length !== summary.parts.length) {
    throw corrupt(place, "its parts are not those of its summary");
  }
  const parts = summary.parts.map((part, index) => {
    const read = lines.parts[index] as LinesOfPart;
    const what = `part ${index + 1}`;
    const fields = new Fields(read.head, place, what);
    assertSource(part, fields, what, place);
    if (read.mayClash) assertEachApart(pathsOf(read.entries), `${place}, ${what}`);
    assertSums(part, read.entries.length, read.bytes, place);
    const whole = { ...part, details: fields.record("details"), entries: read.entries, blobs: read.blobs };
    kindOf(part.source.type)?.assertPart?.(whole, place);
    return whole;
  });
  if (lines.mayDifferInSize) assertOneSize(parts, place);
  return { snapshot: { ...summary, checksum: checksum.checksum }, parts };
}

function firstLineOf(bytes: Buffer): string {
  return bytes.toString("utf8", 0, Math.max(0, bytes.indexOf("\n")));
}

/** What is looked for and counted is a blob, whichever of its uses says how large it is. */
function assertOneSize(parts: readonly PartContent[], place: string): void {
  const sizes = new Map<string, number>();
  const add = (name: string, bytes: number) => {
    const known = sizes.get(name);
    if (known === undefined) sizes.set(name, bytes);
    else if (known !== bytes) throw corrupt(place, `it gives two sizes for the blob ${name}`);
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
    throw corrupt(place, "it was changed by hand or is damaged: its checksum does not match");
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
  assertSource(summary, fields, what, place);
  const blobs = fields.list("blobs").map((blob) => blobFrom(blob, place, what));
  const sizes = new Map(blobs);
  if (sizes.size < blobs.length) throw corrupt(place, `${what} lists a blob twice`);
  const entries = eachInPlace(fields.list("entries"), (entry) => entryFrom(entry, blobs, place, what));
  assertEntries(entries, summary, `${place}, ${what}`, place);
  const part = { ...summary, details: fields.record("details"), entries, blobs: sizes };
  kindOf(summary.source.type)?.assertPart?.(part, place);
  return part;
}

function assertSource({ source }: StoredPart, fields: Fields, what: string, place: string): void {
  if (isDeepStrictEqual(sourceFrom(fields.object("source"), place), source)) return;
  throw corrupt(place, `${what} is of another source than its summary says`);
}

/** What is read takes the place of what it was read from: of a million entries, both at once would be twice the memory. */
function eachInPlace<T>(list: unknown[], read: (value: unknown) => T): T[] {
  for (let index = 0; index < list.length; index++) list[index] = read(list[index]);
  return list as T[];
}

function assertEntries(
  entries: readonly StoredEntry[],
  summary: StoredPart,
  where: string,
  place: string,
): void {
  assertPathsApart(entries.map(namedPath), where);
  assertSums(summary, entries.length, sum(entries, "size"), place);
}

function assertSums(summary: StoredPart, files: number, bytes: number, place: string): void {
  if (files !== summary.files) throw corrupt(place, "its count of files is not that of its summary");
  if (bytes !== summary.bytes) throw corrupt(place, "its sizes are not those of its summary");
}

function* pathsOf(entries: readonly StoredEntry[]) {
  for (const entry of entries) yield namedPath(entry);
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
