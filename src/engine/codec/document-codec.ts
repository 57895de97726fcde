import { createHash } from "node:crypto";
import { CorruptError } from "../../errors.ts";
import type { Sealing } from "../documents.ts";
import { MOST_DOCUMENT_BYTES, type ReadRange, tooLarge } from "../read-small.ts";
import { damaged, encodedBytes, LONGEST_HEAD_BYTES, MAX_CONTENT_BYTES, parseHead } from "./blob-head.ts";
import type { BlobKey } from "./blob-key.ts";
import { decodeBlob, epochOf } from "./decode-blob.ts";
import { type Compression, encodeBlob } from "./encode-blob.ts";

/** How the documents of snapshots become objects. */
export interface DocumentCodec extends Sealing {
  /** Whether a document may come in the place of another of the same snapshot: when keys are rotated. */
  readonly mayBeReplaced: boolean;
  /** What `open` gives, in pieces, so that the document is not in memory as a whole. @throws as `open`, and what the object's pieces throw */
  pieces(object: Pieces, id: string, place: string): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /** So much of an object as its first line needs: this may be kept. @throws as `open` */
  readBeginning(read: ReadRange, id: string, place: string): Promise<Buffer>;
  /** The first line in that, without the newline. @throws as `open` */
  firstLine(beginning: Buffer, id: string, place: string): Promise<Buffer>;
}

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Most summaries fit; where one does not, the next read takes twice as much. */
const FIRST_READ_BYTES = 16 * 1024;
/** A first line of more is none: some 100,000 tables. */
const LONGEST_LINE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Objects are the documents as they are. */
export const PLAIN_DOCUMENTS: DocumentCodec = {
  mayBeReplaced: false,
  seal: (document) => document,
  open: async (object) => object,
  epochOf: () => 0,
  pieces: (object) => object,
  async readBeginning(read, _id, place) {
    const pieces: Buffer[] = [];
    let offset = 0;
    for (let length = FIRST_READ_BYTES; offset < LONGEST_LINE_BYTES; length *= 2) {
      const piece = await read(offset, length);
      const end = piece.indexOf(NEWLINE);
      pieces.push(end < 0 ? piece : piece.subarray(0, end));
      offset += piece.length;
      if (end >= 0) return Buffer.concat(pieces);
      if (piece.length < length) break;
    }
    throw noFirstLine(place);
  },
  firstLine: async (beginning) => beginning,
};

/** The keys by which documents are sealed. */
export interface DocumentKeys {
  readonly current: BlobKey;
  /** The key of any epoch; undefined where there is none at hand. */
  find(epoch: number): Promise<Uint8Array | undefined>;
}

/** Objects are encoded blobs, back to back (docs/formats.md, "Sealed documents"): of the first line, and of the rest. */
export function sealedDocuments(keys: DocumentKeys, compression: Compression): DocumentCodec {
  const open = async (object: Buffer, id: string, place: string, index: number, isLast: boolean) => {
    const epoch = epochOf(object, place);
    const key = await keys.find(epoch);
    if (epoch > 0 && key === undefined) {
      throw damaged(
        place,
        `it is encrypted by the key of epoch ${epoch}, which the repository does not have`,
      );
    }
    const name = partName(id, index, isLast);
    return decodeBlob(object, { name, place, keys: new Map(key ? [[epoch, key]] : []) });
  };
  async function* contentsOf(object: Pieces, id: string, place: string): AsyncGenerator<Buffer> {
    const stretches = new Stretches(object, place);
    try {
      for (let index = 0; ; index++) {
        const start = await stretches.see(LONGEST_HEAD_BYTES);
        if (start.length === 0 && index === 0) throw noFirstLine(place);
        if (start.length === 0) return;
        const bytes = encodedBytes(parseHead(start, place).head);
        const rest = await stretches.see(bytes + 1);
        yield await open(rest.subarray(0, bytes), id, place, index, rest.length <= bytes);
        stretches.pass(bytes);
      }
    } finally {
      await stretches.close();
    }
  }
  return {
    mayBeReplaced: true,
    epochOf: (object, place) => epochOf(object.subarray(0, LONGEST_HEAD_BYTES), place),
    seal(document, id) {
      const contents = partsOf(document);
      return Buffer.concat(
        contents.map((content, index) => {
          const name = partName(id, index, index === contents.length - 1);
          return encodeBlob(content, { name, compression, key: keys.current });
        }),
      );
    },
    async open(object, id, place) {
      const contents: Buffer[] = [];
      for await (const content of contentsOf([object], id, place)) contents.push(content);
      return Buffer.concat(contents);
    },
    pieces: contentsOf,
    async readBeginning(read, id, place) {
      const pieces: Buffer[] = [];
      let at = 0;
      while (at < LONGEST_LINE_BYTES) {
        const start = await read(at, FIRST_READ_BYTES);
        const { head } = parseHead(start, place);
        const bytes = encodedBytes(head);
        const piece = bytes <= start.length ? start.subarray(0, bytes) : await read(at, bytes);
        const content = await open(piece, id, place, pieces.length, false);
        pieces.push(piece);
        if (content.includes(NEWLINE)) return Buffer.concat(pieces);
        at += bytes;
      }
      throw noFirstLine(place);
    },
    async firstLine(beginning, id, place) {
      const contents: Buffer[] = [];
      for (let at = 0; at < beginning.length; ) {
        const rest = beginning.subarray(at);
        const bytes = Math.min(rest.length, encodedBytes(parseHead(rest, place).head));
        contents.push(await open(rest.subarray(0, bytes), id, place, contents.length, false));
        at += bytes;
      }
      const line = Buffer.concat(contents);
      const end = line.indexOf(NEWLINE);
      if (end < 0) throw noFirstLine(place);
      return line.subarray(0, end);
    },
  };
}

/** Stretches of an object that comes in pieces: no more of it is in memory than is looked at. */
class Stretches {
  readonly #pieces: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  readonly #place: string;
  /** What has come and was not passed. */
  #rest: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(pieces: Pieces, place: string) {
    this.#pieces =
      Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]();
    this.#place = place;
  }

  /** So many bytes or more; fewer where it ends. @throws CorruptError where it has more than a document can */
  async see(length: number): Promise<Buffer> {
    const coming: Uint8Array[] = [];
    let there = this.#rest.length;
    while (there < length) {
      const { done, value } = await this.#pieces.next();
      if (done) break;
      coming.push(value);
      there += value.length;
      this.#bytes += value.length;
      if (this.#bytes > MOST_DOCUMENT_BYTES) throw tooLarge(this.#place, MOST_DOCUMENT_BYTES);
    }
    if (coming.length > 0) this.#rest = joined([this.#rest, ...coming], there);
    return this.#rest;
  }

  pass(bytes: number): void {
    this.#rest = this.#rest.subarray(bytes);
  }

  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}

/** Where one alone has bytes it is not copied. */
function joined(pieces: readonly Uint8Array[], bytes: number): Buffer {
  const [only, ...others] = pieces.filter(({ length }) => length > 0);
  if (!only || others.length > 0) return Buffer.concat(pieces, bytes);
  return Buffer.from(only.buffer, only.byteOffset, only.byteLength);
}

/** The first line with its newline, so that it is read without the rest; then the rest; as many blobs as it takes. */
function partsOf(document: Buffer): Buffer[] {
  const end = document.indexOf(NEWLINE) + 1;
  const parts: Buffer[] = [];
  for (const part of [document.subarray(0, end), document.subarray(end)]) {
    for (let at = 0; at < part.length; at += MAX_CONTENT_BYTES) {
      parts.push(part.subarray(at, at + MAX_CONTENT_BYTES));
    }
  }
  return parts;
}

/** What a blob of a document is called in its head: it stands for its place in this document, and no other. */
function partName(id: string, index: number, isLast: boolean): string {
  const place = `lancedb-backup document 2\n${id}\n${index}\n${isLast ? 1 : 0}\n`;
  return createHash("sha256").update(place).digest("hex");
}

function noFirstLine(place: string): CorruptError {
  return new CorruptError(`The snapshot document ${place} is damaged: it has no whole first line.`, {
    path: place,
  });
}
