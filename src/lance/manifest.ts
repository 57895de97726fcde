import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { CorruptError } from "../errors.ts";
import { ifThere, ifThereLater } from "../fs/held-root.ts";
import { toIoError } from "../fs/io.ts";
import {
  type IndexMetadata,
  IndexSectionSchema,
  type Manifest as ManifestMessage,
  ManifestSchema,
  type Transaction,
  TransactionSchema,
} from "./proto/lance_pb.ts";

/** One version of a table, as its manifest file states it. */
export interface Manifest {
  readonly version: number;
  /** When the version was committed, milliseconds since 1970. */
  readonly timestamp: number;
  readonly message: ManifestMessage;
  readonly indices: readonly IndexMetadata[];
  readonly transaction: Transaction | undefined;
}

const FOOTER_BYTES = 16;
const MAGIC = "LANC";

/**
 * Reads a manifest file: the last 16 bytes are `u64 position | u16 major | u16 minor | "LANC"`, at the
 * position stands `u32 length` and the message, which fills the file up to the footer. Everything is
 * little-endian.
 *
 * @throws CorruptError where the bytes are not a whole manifest, or not of `version`.
 */
export function parseManifest(bytes: Uint8Array, version: number, path: string): Manifest {
  return decodeManifest(bytes, version, path, (message) => message);
}

/**
 * The same, but for the fragments, which are handed over as they lie in the file: the message has none.
 *
 * @throws CorruptError where the bytes are not a whole manifest, or not of `version`.
 */
export function parseManifestApart(
  bytes: Uint8Array,
  version: number,
  path: string,
): { manifest: Manifest; run: FragmentRun } {
  let run: FragmentRun | undefined;
  const manifest = decodeManifest(bytes, version, path, (message) => {
    const parts = splitFragments(message);
    run = parts.run;
    return parts.rest;
  });
  return { manifest, run: run as FragmentRun };
}

function decodeManifest(
  bytes: Uint8Array,
  version: number,
  path: string,
  partOf: (message: Buffer) => Buffer,
): Manifest {
  const corrupt = (why: string, cause?: unknown) =>
    new CorruptError(`The manifest ${path} of version ${version} is damaged: ${why}.`, { path, cause });
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < FOOTER_BYTES + 4) throw corrupt(`it has only ${view.length} bytes`);
  const footer = view.length - FOOTER_BYTES;
  if (view.toString("latin1", footer + 12) !== MAGIC) throw corrupt('it does not end with "LANC"');
  const position = view.readBigUInt64LE(footer);
  if (position + 4n > BigInt(footer)) throw corrupt("its footer points outside the file");
  const start = Number(position);
  if (view.readUInt32LE(start) !== footer - start - 4) throw corrupt("its message does not fill the file");
  try {
    const message = fromBinary(ManifestSchema, partOf(view.subarray(start + 4, footer)));
    if (message.version !== BigInt(version)) throw corrupt(`it says that it is version ${message.version}`);
    const indexBytes = section(view, message.indexSection);
    const transactionBytes = section(view, message.transactionSection);
    return {
      version,
      timestamp: message.timestamp
        ? Number(message.timestamp.seconds) * 1000 + message.timestamp.nanos / 1e6
        : Number.NaN,
      message,
      indices: indexBytes ? fromBinary(IndexSectionSchema, indexBytes).indices : [],
      transaction: transactionBytes ? fromBinary(TransactionSchema, transactionBytes) : undefined,
    };
  } catch (error) {
    if (error instanceof CorruptError) throw error;
    throw corrupt("its message cannot be decoded", error);
  }
}

/**
 * The same version under another number: what the message does not know is kept as it was, and the sections
 * before it, to which it points by offset, stay where they are.
 */
export function renumberManifest(bytes: Uint8Array, manifest: Manifest, version: number): Uint8Array {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const footer = view.subarray(view.length - FOOTER_BYTES);
  const start = Number(footer.readBigUInt64LE(0));
  const message = toBinary(ManifestSchema, { ...manifest.message, version: BigInt(version) });
  const length = Buffer.alloc(4);
  length.writeUInt32LE(message.length);
  return Buffer.concat([view.subarray(0, start), length, message, footer]);
}

function section(file: Buffer, offset: bigint | undefined): Buffer | undefined {
  if (offset === undefined) return undefined;
  const start = Number(offset);
  if (start + 4 > file.length) throw new RangeError("a section lies outside the file");
  const end = start + 4 + file.readUInt32LE(start);
  if (end > file.length) throw new RangeError("a section is cut short");
  return file.subarray(start + 4, end);
}

/** The two ways in which Lance names its manifests. V2 counts down, so that the newest sorts first. */
export type NamingScheme = "v1" | "v2";

export interface ManifestName {
  /** File name in `_versions/`. */
  readonly name: string;
  readonly version: number;
  readonly scheme: NamingScheme;
}

const U64_MAX = 2n ** 64n - 1n;
const V2_DIGITS = 20;
const PATTERN = /^(\d{1,20})\.manifest$/;

/** Reads a file name of `_versions/`; undefined for anything that is no manifest of the main line. */
export function parseManifestName(name: string): ManifestName | undefined {
  const digits = PATTERN.exec(name)?.[1];
  if (digits === undefined) return undefined;
  const scheme: NamingScheme = digits.length === V2_DIGITS ? "v2" : "v1";
  const version = scheme === "v2" ? U64_MAX - BigInt(digits) : BigInt(digits);
  if (version < 0n || version > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return { name, version: Number(version), scheme };
}

export function manifestName(version: number, scheme: NamingScheme): string {
  const digits =
    scheme === "v2" ? String(U64_MAX - BigInt(version)).padStart(V2_DIGITS, "0") : String(version);
  return `${digits}.manifest`;
}

/** Field 2 of the manifest's message, which is repeated for each fragment. */
const FRAGMENTS = 2;

/** A manifest's fragments as they lie in it, one after the other. */
export interface FragmentRun {
  readonly bytes: Buffer;
  /** Where each of them begins, its tag included; then where the last one ends. */
  readonly bounds: readonly number[];
}

/**
 * Takes the fragments out of a manifest's message without decoding them: thousands of versions that share them
 * would otherwise have each decode them all.
 */
function splitFragments(message: Buffer): { rest: Buffer; run: FragmentRun } {
  const reader = new BinaryReader(message);
  const rest: Buffer[] = [];
  const fragments: Buffer[] = [];
  const bounds = [0];
  let stretchStart = 0;
  let inFragments = false;
  let length = 0;
  const cut = (at: number) => {
    if (at > stretchStart) (inFragments ? fragments : rest).push(message.subarray(stretchStart, at));
    stretchStart = at;
  };
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const tag = reader.uint32();
    const isFragment = tag >>> 3 === FRAGMENTS;
    if (isFragment !== inFragments) {
      cut(start);
      inFragments = isFragment;
    }
    if (isFragment) {
      const bytes = reader.uint32();
      reader.pos += bytes;
      length += reader.pos - start;
      bounds.push(length);
    } else {
      reader.skip(tag & 7, tag >>> 3);
    }
  }
  if (reader.pos > reader.len) throw new RangeError("a fragment is cut short");
  cut(message.length);
  return { rest: joined(rest), run: { bytes: joined(fragments), bounds } };
}

/** The message of one fragment, without tag and length. */
export function fragmentAt(run: FragmentRun, index: number): Uint8Array {
  const reader = new BinaryReader(run.bytes.subarray(run.bounds[index], run.bounds[index + 1]));
  reader.tag();
  return reader.bytes();
}

export function countOf(run: FragmentRun): number {
  return run.bounds.length - 1;
}

/** Whether all fragments of `run` are the first ones of `longer`. */
export function isStartOf(run: FragmentRun, longer: FragmentRun): boolean {
  const { length } = run.bytes;
  return length <= longer.bytes.length && longer.bytes.subarray(0, length).equals(run.bytes);
}

/** Whether two runs have the same fragment at an index, byte for byte. */
export function isSameAt(index: number, a: FragmentRun, b: FragmentRun): boolean {
  const [start, end] = [a.bounds[index], a.bounds[index + 1]];
  const [otherStart, otherEnd] = [b.bounds[index], b.bounds[index + 1]];
  if (start === undefined || end === undefined || otherStart === undefined || otherEnd === undefined)
    return false;
  if (end - start !== otherEnd - otherStart) return false;
  // By views, since Deno's `compare` looks at other bytes than the ranges that it is given.
  return a.bytes.subarray(start, end).equals(b.bytes.subarray(otherStart, otherEnd));
}

function joined(pieces: readonly Buffer[]): Buffer {
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
}

// Manifests as they lie in a dataset.

export const VERSIONS = "_versions";

/** The path of a manifest inside its dataset. */
export function manifestPath(name: string): string {
  return `${VERSIONS}/${name}`;
}

/** The versions whose manifests are there, newest first; empty where the directory is no dataset. */
export async function listManifests(dataset: string): Promise<ManifestName[]> {
  const directory = join(dataset, VERSIONS);
  let names: string[] | undefined;
  try {
    names = await ifThereLater(directory, () => readdir(directory));
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
  return (names ?? [])
    .map(parseManifestName)
    .filter((name) => name !== undefined)
    .sort((a, b) => b.version - a.version);
}

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A manifest and its digest; undefined where it is not there. */
export function readManifest(
  dataset: string,
  name: ManifestName,
): { manifest: Manifest; digest: string } | undefined {
  const path = join(dataset, VERSIONS, name.name);
  let bytes: Buffer | undefined;
  try {
    bytes = ifThere(path, () => readFileSync(path));
  } catch (error) {
    throw toIoError(error, "read", path);
  }
  return bytes && { manifest: parseManifest(bytes, name.version, path), digest: digestOf(bytes) };
}
