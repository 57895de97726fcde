import { createHash } from "node:crypto";
import { UnsupportedError } from "../../errors.ts";
import { MOST_DOCUMENT_BYTES } from "../read-small.ts";
import type { PartContent, Piece, StoredContent, StoredEntry, StoredSnapshot } from "../snapshot.ts";
import { FORMAT } from "./names.ts";

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
  const lines = [`{"format":${FORMAT},"summary":${JSON.stringify(summaryOf(snapshot))},"parts":[`];
  parts.forEach((part, index) => {
    for (const line of linesOf(part)) lines.push(line); // as arguments of one call they may be too many
    lines.push(index < parts.length - 1 ? "]}," : "]}");
  });
  lines.push('],"sha256":"');
  const characters = lines.reduce((sum, line) => sum + line.length + 1, 0);
  if (characters > most) throw tooManyFiles(snapshot, most);
  const body = Buffer.from(lines.join("\n"));
  const checksum = createHash("sha256").update(body).digest("hex");
  const bytes = Buffer.concat([body, Buffer.from(`${checksum}"}\n`)]);
  if (bytes.length > most) throw tooManyFiles(snapshot, most);
  return { bytes, checksum };
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

function linesOf({ source, details, blobs, entries }: PartContent): string[] {
  const numbers = new Map([...blobs.keys()].map((name, number) => [name, number]));
  return [
    `{"source":${JSON.stringify(source)},"details":${JSON.stringify(details)},"blobs":[`,
    ...withCommas([...blobs].map((blob) => JSON.stringify(blob))),
    '],"entries":[',
    ...withCommas(entries.map((entry) => JSON.stringify(lineOf(entry, numbers)))),
  ];
}

function withCommas(lines: readonly string[]): string[] {
  return lines.map((line, index) => (index < lines.length - 1 ? `${line},` : line));
}

function lineOf(entry: StoredEntry, numbers: ReadonlyMap<string, number>): unknown[] {
  const { path, size, sha256, stamp = null, attributes } = entry;
  const pieces = entry.pieces?.map(({ blob, offset, bytes }: Piece) => [numbers.get(blob), offset, bytes]);
  if (attributes) return [path, size, sha256, stamp, pieces ?? null, attributes];
  return pieces ? [path, size, sha256, stamp, pieces] : [path, size, sha256, stamp];
}
