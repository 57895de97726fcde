import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { CorruptError } from "../errors.ts";
import { type FragmentRun, splitFragments } from "./fragment-run.ts";
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
