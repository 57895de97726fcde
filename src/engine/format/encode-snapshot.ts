import { createHash } from "node:crypto";
import type { PartContent, Piece, StoredContent, StoredEntry, StoredSnapshot } from "../snapshot.ts";
import { FORMAT } from "./names.ts";

export interface EncodedSnapshot {
  readonly bytes: Buffer;
  readonly checksum: string;
}

/** The document of a snapshot, in the lines that docs/formats.md lays down. */
export function encodeSnapshot(snapshot: StoredSnapshot, parts: StoredContent["parts"]): EncodedSnapshot {
  const lines = [`{"format":${FORMAT},"summary":${JSON.stringify(summaryOf(snapshot))},"parts":[`];
  parts.forEach((part, index) => {
    for (const line of linesOf(part)) lines.push(line); // as arguments of one call they may be too many
    lines.push(index < parts.length - 1 ? "]}," : "]}");
  });
  lines.push('],"sha256":"');
  const body = Buffer.from(lines.join("\n"));
  const checksum = createHash("sha256").update(body).digest("hex");
  return { bytes: Buffer.concat([body, Buffer.from(`${checksum}"}\n`)]), checksum };
}

function summaryOf({ software, parts, ...snapshot }: StoredSnapshot): object {
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
