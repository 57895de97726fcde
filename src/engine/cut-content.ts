import { createHmac } from "node:crypto";

// Cutting by content: FastCDC as in "The Design of Fast Content-Defined Chunking" (2020), with a gear hash of 32 bits. Where a
// piece ends depends on the bytes before its end alone, so that a change moves the cuts beside it and no others.

export interface CutOptions {
  /** Bytes of the shortest piece but the last; from 64 on. Default 512 KiB. */
  readonly min?: number | undefined;
  /** Bytes that most pieces have about; a power of 2, above `min`. Default 1 MiB. */
  readonly normal?: number | undefined;
  /** Bytes of the longest piece, above `normal`. Default 8 MiB. */
  readonly max?: number | undefined;
  /**
   * What the gear table is made of: other cuts for each seed. A secret one hides which known content has pieces of
   * such lengths. Default: the one of docs/formats.md.
   */
  readonly seed?: Uint8Array | undefined;
}

const KIB = 1024;
const SEED = Buffer.from("lancedb-backup gear");

/** By how many bits a cut is less likely before the normal size, and more likely behind it. */
const NORMALISATION = 2;

interface Cutter {
  readonly min: number;
  readonly normal: number;
  readonly max: number;
  readonly gear: Uint32Array;
  /** The bits of the hash that are zero at a cut, before the normal size and behind it. */
  readonly early: number;
  readonly late: number;
}

/**
 * Cuts content into pieces that are found again in a later version of it: the same bytes in the same order give the same
 * pieces, however they come. Pieces are the caller's own; `content` may use its buffers again.
 *
 * Holds one piece in memory, in a buffer of up to `max`.
 *
 * @throws TypeError for sizes that are none
 */
export async function* cutContent(
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: CutOptions = {},
): AsyncGenerator<Buffer, void, void> {
  const cutter = cutterOf(options);
  const piece = new GrowingPiece(cutter);
  const progress: Progress = { length: 0, hash: 0 };
  for await (const chunk of content) {
    let start = 0;
    while (start < chunk.length) {
      const { end, isCut } = findCut(cutter, progress, chunk, start);
      piece.add(chunk, start, end);
      start = end;
      if (!isCut) continue;
      yield piece.take();
      progress.length = 0;
      progress.hash = 0;
    }
  }
  if (progress.length > 0) yield piece.take();
}

function cutterOf({
  min = 512 * KIB,
  normal = 1024 * KIB,
  max = 8192 * KIB,
  seed = SEED,
}: CutOptions): Cutter {
  const bits = Math.log2(normal);
  const isInOrder = [min, max].every(Number.isSafeInteger) && min >= 64 && min < normal && normal < max;
  if (!isInOrder || !Number.isInteger(bits) || bits > 28) {
    throw new TypeError(`Pieces cannot have ${min} to ${max} bytes, ${normal} on average.`);
  }
  return {
    min,
    normal,
    max,
    gear: gearTable(seed),
    early: highestBits(bits + NORMALISATION),
    late: highestBits(bits - NORMALISATION),
  };
}

/** They depend on the most bytes: bit 31 on the last 32. */
function highestBits(count: number): number {
  return -1 << (32 - count);
}

function gearTable(seed: Uint8Array): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) =>
    createHmac("sha256", seed).update(Uint8Array.of(byte)).digest().readUInt32LE(0),
  );
}

/** Of the piece that is being found. */
interface Progress {
  length: number;
  hash: number;
}

/** Goes on through a chunk to the end of the piece, or of the chunk. */
function findCut(
  cutter: Cutter,
  progress: Progress,
  chunk: Uint8Array,
  start: number,
): { readonly end: number; readonly isCut: boolean } {
  const { min, normal, max, gear, early, late } = cutter;
  /** Where in the chunk a piece would have so many bytes. */
  const placeOf = (length: number) => Math.min(chunk.length, start + Math.max(0, length - progress.length));
  const [hashed, turn, last] = [placeOf(min), placeOf(normal), placeOf(max)];
  let { hash } = progress;
  let at = hashed;
  let isCut = false;
  for (const [end, mask] of [
    [turn, early],
    [last, late],
  ] as const) {
    while (at < end && !isCut) {
      hash = ((hash << 1) + (gear[chunk[at] ?? 0] ?? 0)) | 0;
      at++;
      isCut = (hash & mask) === 0;
    }
  }
  progress.length += at - start;
  progress.hash = hash;
  return { end: at, isCut: isCut || progress.length === max };
}

/** Copies what it is given: most pieces have less than twice the normal size, and few need to grow. */
class GrowingPiece {
  readonly #sizes: Pick<Cutter, "normal" | "max">;
  #bytes = Buffer.alloc(0);
  #length = 0;

  constructor(sizes: Pick<Cutter, "normal" | "max">) {
    this.#sizes = sizes;
  }

  add(chunk: Uint8Array, start: number, end: number): void {
    const length = this.#length + end - start;
    if (length > this.#bytes.length) this.#grow(length);
    this.#bytes.set(chunk.subarray(start, end), this.#length);
    this.#length = length;
  }

  take(): Buffer {
    const piece = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.alloc(0);
    this.#length = 0;
    return piece;
  }

  #grow(length: number): void {
    const { normal, max } = this.#sizes;
    const size = Math.min(max, Math.max(2 * normal, 2 * this.#bytes.length, length));
    const grown = Buffer.allocUnsafeSlow(size);
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
