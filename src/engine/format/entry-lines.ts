import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { freeMemory } from "../../util/free-memory.ts";
import type { Piece, StoredEntry } from "../snapshot.ts";
import { entryOf } from "./decode-entry.ts";

/** Bytes of lines that are compressed, and read again, together. Texts of twice as many live until V8 collects all that is old. */
export const CHUNK_BYTES = 64 * 1024;

/** Of fewer entries objects are kept as they are: they take little, and are quicker to use. */
const MANY_ENTRIES = 65_000;

/** A blob of which entries have pieces, with the bytes of its content; entries say its number. */
export type NumberedBlob = readonly [name: string, bytes: number];

interface Chunk {
  /** Of the first of its entries. */
  readonly start: number;
  readonly packed: Buffer;
}

/**
 * The lines of a part's entries as they stand in a document, compressed: a million entries of files take some 90 MB so, and 700 as
 * objects.
 */
export class EntryLines {
  readonly #chunks: Chunk[] = [];
  #length = 0;
  #bytes = 0;
  /** The chunk that was asked for last. */
  #last: { readonly index: number; readonly entries: readonly StoredEntry[] } | undefined;

  /** By their numbers. */
  readonly blobs: readonly NumberedBlob[];

  /** @param blobs may still grow, before entries that name them are added. */
  constructor(blobs: readonly NumberedBlob[]) {
    this.blobs = blobs;
  }

  /** @param text so many lines with commas between them, and neither comma nor newline at the end. */
  add(text: Buffer, lines: number): void {
    const params = { [constants.ZSTD_c_compressionLevel]: 1 };
    // A buffer of the size that it needs: what zlib answers with is part of a larger one.
    const answer = zstdCompressSync(text, { params, chunkSize: CHUNK_BYTES });
    const packed = Buffer.from(answer);
    freeMemory(answer);
    this.#chunks.push({ start: this.#length, packed });
    this.#length += lines;
    this.#bytes += text.length;
  }

  get length(): number {
    return this.#length;
  }

  /** Of the lines in a document, with the commas and newlines between them. */
  get bytes(): number {
    return this.#bytes + 2 * Math.max(this.#chunks.length - 1, 0);
  }

  /** The lines, in stretches between which a comma and a newline belong. Each is there until the next is asked for. */
  *texts(): Generator<Buffer> {
    for (const { packed } of this.#chunks) {
      const text = unpacked(packed);
      yield text;
      freeMemory(text);
    }
  }

  *entries(): Generator<StoredEntry> {
    for (const text of this.texts()) yield* this.#read(text);
  }

  at(index: number): StoredEntry | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    let [low, high] = [0, this.#chunks.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#chunks[middle] as Chunk).start <= index) low = middle;
      else high = middle - 1;
    }
    const { start, packed } = this.#chunks[low] as Chunk;
    if (this.#last?.index !== low) {
      this.#last = { index: low, entries: this.#read(unpacked(packed)) };
    }
    return this.#last.entries[index - start];
  }

  #read(text: Buffer): StoredEntry[] {
    const values = JSON.parse(`[${text.toString("utf8")}]`) as unknown[];
    return values.map((value) => entryOf(value, this.blobs));
  }
}

function unpacked(packed: Buffer): Buffer {
  return zstdDecompressSync(packed, { chunkSize: 2 * CHUNK_BYTES });
}

const LINES = Symbol("lines");

/** The same as a list: each element is made, anew, when it is asked for. One that is walked through is quick. */
export function listOf(lines: EntryLines): readonly StoredEntry[] {
  const refuse = () => false;
  return new Proxy<StoredEntry[]>([], {
    get(target, key) {
      if (key === "length") return lines.length;
      if (key === Symbol.iterator) return () => lines.entries();
      if (key === LINES) return lines;
      const index = indexOf(key);
      return index === undefined ? Reflect.get(target, key) : lines.at(index);
    },
    has(target, key) {
      const index = indexOf(key);
      return index === undefined ? key in target : index < lines.length;
    },
    ...{ set: refuse, defineProperty: refuse, deleteProperty: refuse },
  });
}

function indexOf(key: string | symbol): number | undefined {
  return typeof key === "string" && /^\d+$/.test(key) ? Number(key) : undefined;
}

/** The lines of a list that has them. */
export function linesOfList(entries: readonly StoredEntry[]): EntryLines | undefined {
  return (entries as { readonly [LINES]?: EntryLines })[LINES];
}

/** Gathers the entries of a part: as they are, or where they are many, as lines. */
export class EntryGatherer {
  readonly #list: StoredEntry[] | undefined;
  readonly #numbered: NumberedBlob[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #lines = new EntryLines(this.#numbered);
  #waiting: string[] = [];
  #letters = 0;

  /** @param expected how many they will be, about. */
  constructor(expected: number, many = MANY_ENTRIES) {
    this.#list = expected < many ? [] : undefined;
  }

  /** @param bytesOf a blob's plain content */
  add(entry: StoredEntry, bytesOf: (blob: string) => number): void {
    if (this.#list) {
      this.#list.push(entry);
      return;
    }
    for (const { blob } of entry.pieces ?? []) {
      if (this.#numbers.has(blob)) continue;
      this.#numbers.set(blob, this.#numbered.length);
      this.#numbered.push([blob, bytesOf(blob)]);
    }
    const line = JSON.stringify(lineOf(entry, (blob) => this.#numbers.get(blob)));
    this.#letters += line.length;
    if (this.#waiting.push(line) && this.#letters >= CHUNK_BYTES) this.#pack();
  }

  list(): readonly StoredEntry[] {
    if (this.#list) return this.#list;
    this.#pack();
    return listOf(this.#lines);
  }

  #pack(): void {
    if (this.#waiting.length > 0)
      this.#lines.add(Buffer.from(this.#waiting.join(",\n")), this.#waiting.length);
    [this.#waiting, this.#letters] = [[], 0];
  }
}

/** An entry as it stands in a document. @param numberOf a blob's in its part */
export function lineOf(entry: StoredEntry, numberOf: (blob: string) => number | undefined): unknown[] {
  const { path, size, sha256, stamp = null, attributes } = entry;
  const pieces = entry.pieces?.map(({ blob, offset, bytes }: Piece) => [numberOf(blob), offset, bytes]);
  if (attributes) return [path, size, sha256, stamp, pieces ?? null, attributes];
  return pieces ? [path, size, sha256, stamp, pieces] : [path, size, sha256, stamp];
}
