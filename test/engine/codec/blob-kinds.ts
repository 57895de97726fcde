import { expect } from "vitest";
import { type BlobKey, blobNameUnderKey } from "../../../src/engine/codec/blob-key.ts";
import { decodeBlob, type WantedBlob } from "../../../src/engine/codec/decode-blob.ts";
import { type Compression, encodeBlob } from "../../../src/engine/codec/encode-blob.ts";
import { CorruptError, UnsupportedError, ValidationError } from "../../../src/errors.ts";
import { noise, sha256 } from "./forge-blob.ts";

/** How a blob is encoded. */
export interface Kind {
  readonly label: string;
  readonly compression: Compression;
  readonly key: BlobKey | undefined;
}

export const KEY: BlobKey = { epoch: 7, key: noise(32, "the epoch's key of blobs") };
const NAME_KEY = noise(32, "the epoch's key of names");

export const WITHOUT_KEY = { label: "not encrypted", key: undefined };

export const KINDS: readonly Kind[] = [undefined, KEY].flatMap((key) =>
  (["none", "zstd", "gzip"] as const).map((algorithm) => ({
    label: `compression ${algorithm}, ${key ? "encrypted" : "not encrypted"}`,
    compression: { algorithm },
    key,
  })),
);

function nameOf(content: Buffer, { key }: Kind): string {
  return key ? blobNameUnderKey(sha256(content), NAME_KEY) : sha256(content);
}

export function encode(content: Buffer, kind: Kind): Buffer {
  const { compression, key } = kind;
  return encodeBlob(content, { name: nameOf(content, kind), compression, key });
}

export function asWanted(content: Buffer, kind: Kind): WantedBlob {
  const keys = kind.key && new Map([[kind.key.epoch, kind.key.key]]);
  return { name: nameOf(content, kind), keys, place: "s3://here/blob" };
}

/** @param content what the blob should hold: its name is asked for */
export function decode(
  blob: Buffer,
  content: Buffer,
  kind: Kind,
  digest?: string,
  wanted: WantedBlob = asWanted(content, kind),
): Buffer {
  return decodeBlob(blob, { ...wanted, sha256: digest });
}

/** The error by which something is refused: one of those that are promised. */
export function refusal(read: () => unknown): CorruptError | UnsupportedError | ValidationError {
  try {
    read();
  } catch (error) {
    const isPromised = [CorruptError, UnsupportedError, ValidationError].some(
      (kind) => error instanceof kind,
    );
    if (!isPromised) throw error;
    return error as CorruptError;
  }
  return expect.fail("it was accepted");
}
