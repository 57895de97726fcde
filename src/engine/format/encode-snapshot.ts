import { createHash } from "node:crypto";
import { UnsupportedError } from "../../errors.ts";
import { MOST_DOCUMENT_BYTES } from "../read-small.ts";
import type { PartContent, StoredContent, StoredSnapshot } from "../snapshot.ts";
import { type EntryLines, lineOf, linesOfList } from "./entry-lines.ts";
import { FORMAT } from "./names.ts";

/** `"}` and a newline after the 64 digits of the checksum. */
const TRAILER_BYTES = 67;
/** Letters of a text of lines. */
const STRETCH = 1 << 20;

export interface EncodedSnapshot {
  readonly bytes: Buffer;
  readonly checksum: string;
}

/**
 * The document of a snapshot, in the lines that docs/formats.md lays down.
 *
 * @throws UnsupportedError where it would be longer than what is read again.
 */
export function encodeSnapshot(
  snapshot: StoredSnapshot,
  parts: StoredContent["parts"],
  most = MOST_DOCUMENT_BYTES,
): EncodedSnapshot {
  const segments: (string | EntryLines)[] = [
    `{"format":${FORMAT},"summary":${JSON.stringify(summaryOf(snapshot))},"parts":[\n`,
  ];
  let characters = 0;
  parts.forEach((part, index) => {
    for (const segment of segmentsOf(part)) {
      characters += segment.length; // of lines there are more
      if (characters > most) throw tooManyFiles(snapshot, most);
      segments.push(segment);
    }
    segments.push(index < parts.length - 1 ? "]},\n" : "]}\n");
  });
  segments.push('],"sha256":"');
  const length = segments.reduce((sum, segment) => sum + bytesOf(segment), 0);
  if (length + TRAILER_BYTES > most) throw tooManyFiles(snapshot, most);
  const bytes = Buffer.allocUnsafeSlow(length + TRAILER_BYTES);
  let at = 0;
  for (const segment of segments) {
    if (typeof segment === "string") at += bytes.write(segment, at);
    else at = putLines(segment, bytes, at);
  }
  const checksum = createHash("sha256").update(bytes.subarray(0, length)).digest("hex");
  bytes.write(`${checksum}"}\n`, length);
  return { bytes, checksum };
}

function bytesOf(segment: string | EntryLines): number {
  return typeof segment === "string" ? Buffer.byteLength(segment) : segment.bytes;
}

/** Answers with where they end. */
function putLines(lines: EntryLines, bytes: Buffer, start: number): number {
  let at = start;
  for (const text of lines.texts()) {
    if (at > start) at += bytes.write(",\n", at);
    at += text.copy(bytes, at);
  }
  return at;
}

function tooManyFiles({ files, parts }: StoredSnapshot, most: number): UnsupportedError {
  const of = parts.map(({ source }) => source.uri).join(", ");
  return new UnsupportedError(
    `A snapshot of ${of} has ${files.toLocaleString("en")} files, and its document more than the ${most.toLocaleString("en")} bytes that one may have. Back up parts of it as sources of their own, or clean up old versions first.`,
  );
}

/** Without what was said of it later, which lies beside it. */
function summaryOf({ software, parts, pinned: _, ...snapshot }: StoredSnapshot): object {
  return {
    ...snapshot,
    createdAt: snapshot.createdAt.toISOString(),
    software,
    parts: parts.map(({ source, files, bytes, about }) => ({ source, files, bytes, about })),
  };
}

function* segmentsOf({ source, details, blobs, entries }: PartContent): Generator<string | EntryLines> {
  yield `{"source":${JSON.stringify(source)},"details":${JSON.stringify(details)},"blobs":[\n`;
  yield* inStretches(blobs, (blob) => JSON.stringify(blob));
  yield '],"entries":[\n';
  const lines = linesOfList(entries);
  if (lines && lines.length > 0 && isNumberedSo(lines, blobs)) yield* [lines, "\n"];
  else {
    const numbers = new Map([...blobs.keys()].map((name, number) => [name, number]));
    yield* inStretches(entries, (entry) => JSON.stringify(lineOf(entry, (blob) => numbers.get(blob))));
  }
}

/** Whether the numbers of blobs in the lines are those of the part. */
function isNumberedSo({ blobs }: EntryLines, parts: ReadonlyMap<string, number>): boolean {
  if (blobs.length !== parts.size) return false;
  let number = 0;
  for (const name of parts.keys()) if (blobs[number++]?.[0] !== name) return false;
  return true;
}

/** A line for each, with commas between them. */
function* inStretches<T>(values: Iterable<T>, lineFor: (value: T) => string): Generator<string> {
  let [text, isFirst] = ["", true];
  for (const value of values) {
    text += isFirst ? lineFor(value) : `,\n${lineFor(value)}`;
    isFirst = false;
    if (text.length < STRETCH) continue;
    yield text;
    text = "";
  }
  if (!isFirst) yield `${text}\n`;
}
