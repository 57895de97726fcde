import { hash } from "node:crypto";
import { giveMemory } from "../../util/spare-memory.ts";
import { decodeBlob, epochOf, openBlob, type WantedBlob } from "./decode-blob.ts";
import { type EncodeOptions, encodeBlob } from "./encode-blob.ts";

// What is done to the bytes of blobs. A task is given the memory of its `bytes`, and answers with memory that is nobody else's.

interface Bytes {
  readonly bytes: Uint8Array;
}

interface BytesOfContent extends Bytes {
  /** Of the plain content. */
  readonly sha256: string;
}

export const CODEC_TASKS = {
  /** Answers with the same bytes. */
  digest({ bytes }: Bytes): BytesOfContent {
    return { bytes, sha256: hash("sha256", bytes, "hex") };
  },

  encode({ bytes, options }: Bytes & { readonly options: EncodeOptions }): Bytes {
    const object = encodeBlob(bytes, options);
    giveMemory(bytes);
    return { bytes: object };
  },

  /** A whole object. */
  decode({ bytes, wanted }: Bytes & { readonly wanted: WantedBlob }): BytesOfContent & { epoch: number } {
    const epoch = epochOf(asBuffer(bytes), wanted.place);
    const content = decodeBlob(asBuffer(bytes), wanted);
    giveMemory(bytes);
    return { bytes: content, sha256: hash("sha256", content, "hex"), epoch };
  },

  /** A stretch of the content. @param bytes the object's beginning, with all segments of the stretch. */
  async part({
    bytes,
    wanted,
    offset,
    length,
  }: Bytes & {
    readonly wanted: WantedBlob;
    readonly offset: number;
    readonly length: number;
  }): Promise<Bytes> {
    const start = asBuffer(bytes);
    const read = async (from: number, count: number) => start.subarray(from, from + count);
    const blob = await openBlob(read, wanted);
    const content = await blob.read(offset, length);
    giveMemory(bytes);
    return { bytes: content };
  },
};

export type CodecTask = keyof typeof CODEC_TASKS;
export type CodecInput<K extends CodecTask> = Parameters<(typeof CODEC_TASKS)[K]>[0];
export type CodecResult<K extends CodecTask> = Awaited<ReturnType<(typeof CODEC_TASKS)[K]>>;

export function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
