import { createHash } from "node:crypto";
import { CorruptError } from "../../errors.ts";
import { isDigest } from "../../fs/fields.ts";
import { isObject } from "../../fs/record.ts";
import { NumberTable } from "../../util/number-table.ts";
import type { StoredEntry } from "../snapshot.ts";
import { assertPath, namedPath, PathsSeen } from "./check-paths.ts";
import { blobFrom, corrupt, entryFrom } from "./decode-entry.ts";
import { CHUNK_BYTES, EntryLines, listOf, type NumberedBlob } from "./entry-lines.ts";

/** `"}` and a newline after the 64 digits of the checksum. */
export const TRAILER_BYTES = 67;

const [NEWLINE, COMMA, BRACKET] = [0x0a, 0x2c, 0x5d];

/** What the lines of a part say. */
export interface LinesOfPart {
  /** Its `source` and `details`, unchecked. */
  readonly head: Readonly<Record<string, unknown>>;
  readonly blobs: ReadonlyMap<string, number>;
  /** Each held to the rules for one. */
  readonly entries: readonly StoredEntry[];
  /** Sum of their sizes. */
  readonly bytes: number;
  /** Whether paths may clash: false is sure. */
  readonly mayClash: boolean;
}

/** A part of which not all lines were read. */
class OpenPart {
  readonly head: Readonly<Record<string, unknown>>;
  readonly blobs = new Map<string, number>();
  readonly lines: EntryLines;
  readonly paths = new PathsSeen();
  bytes = 0;
  readonly #numbered: NumberedBlob[] = [];
  readonly #place: string;
  readonly #what: string;

  constructor(head: Readonly<Record<string, unknown>>, place: string, what: string) {
    this.head = head;
    this.#place = place;
    this.#what = what;
    this.lines = new EntryLines(this.#numbered);
  }

  addBlobs(values: readonly unknown[]): void {
    for (const value of values) {
      const blob = blobFrom(value, this.#place, this.#what);
      if (this.blobs.has(blob[0])) throw corrupt(this.#place, `${this.#what} lists a blob twice`);
      this.blobs.set(...blob);
      this.#numbered.push(blob);
    }
  }

  entriesFrom(values: readonly unknown[]): StoredEntry[] {
    return values.map((value) => entryFrom(value, this.#numbered, this.#place, this.#what));
  }
}

/**
 * The lines of a snapshot's document, as they come (docs/formats.md, *Snapshot documents*). What is wrong with them is told when all
 * were read: that the checksum does not fit says more.
 */
export class DocumentLines {
  readonly parts: LinesOfPart[] = [];
  firstLine = "";
  /** Of the first line. */
  head: Record<string, unknown> = {};
  failure: unknown;
  /** Whether two sizes of one blob may be said: false is sure. */
  mayDifferInSize = false;
  readonly #place: string;
  readonly #hash = createHash("sha256");
  #tail = Buffer.alloc(0);
  #next: "head" | "part" | "blobs" | "entries" | "after" | "end" = "head";
  #part: OpenPart | undefined;
  readonly #sizes = new NumberTable();
  /** Of the line that has begun. */
  #begun: Uint8Array[] = [];
  #begunBytes = 0;
  /** Whole lines that are looked at together. */
  #together: Uint8Array[] = [];
  #togetherBytes = 0;
  #count = 0;
  /** Whether the line before ends with a comma, after which another one must come; undefined at the beginning of a list. */
  #hasComma: boolean | undefined;
  readonly #chunkBytes: number;

  /** @param chunkBytes of lines that are looked at together, and more. */
  constructor(place: string, chunkBytes = CHUNK_BYTES) {
    this.#place = place;
    this.#chunkBytes = chunkBytes;
  }

  /** @param bytes stay as they are. */
  push(bytes: Uint8Array): void {
    this.#digest(bytes);
    if (this.failure !== undefined) return;
    try {
      this.#read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    } catch (error) {
      this.failure = error instanceof CorruptError ? error : corrupt(this.#place, "it is not JSON", error);
      [this.#begun, this.#together] = [[], []];
    }
  }

  /** The one at the end, where it fits; else what is wrong with it. When all was read. */
  get checksum(): { readonly checksum: string } | { readonly wrong: string } {
    const digest = this.#tail.toString("latin1", 0, TRAILER_BYTES - 3);
    const isWhole = isDigest(digest) && this.#tail.toString("latin1", TRAILER_BYTES - 3) === '"}\n';
    if (!isWhole) return { wrong: "it is cut short" };
    if (this.#hash.copy().digest("hex") !== digest) {
      return { wrong: "it was changed by hand or is damaged: its checksum does not match" };
    }
    if (this.failure === undefined && this.#next !== "end") this.failure = this.#misplaced();
    return { checksum: digest };
  }

  /** All bytes but those of the checksum. */
  #digest(bytes: Uint8Array): void {
    const all = bytes.length < TRAILER_BYTES ? Buffer.concat([this.#tail, bytes]) : bytes;
    if (all === bytes) this.#hash.update(this.#tail);
    const end = Math.max(all.length - TRAILER_BYTES, 0);
    this.#hash.update(all.subarray(0, end));
    this.#tail = Buffer.from(all.subarray(end)); // a copy
  }

  #read(bytes: Buffer): void {
    for (let from = 0; from < bytes.length; ) {
      const end = bytes.indexOf(NEWLINE, from) + 1;
      const line = bytes.subarray(from, end === 0 ? bytes.length : end);
      if (end === 0) {
        this.#begun.push(line);
        this.#begunBytes += line.length;
        return;
      }
      if (this.#begunBytes === 0) this.#line(line);
      else {
        const whole = Buffer.concat([...this.#begun, line]);
        [this.#begun, this.#begunBytes] = [[], 0];
        this.#line(whole);
      }
      from = end;
    }
  }

  /** @param line with its newline */
  #line(line: Buffer): void {
    const isList = this.#next === "blobs" || this.#next === "entries";
    if (isList && line[0] !== BRACKET) {
      if (this.#hasComma === false) throw this.#misplaced();
      this.#hasComma = line.at(-2) === COMMA;
      this.#together.push(line);
      this.#togetherBytes += line.length;
      this.#count++;
      // The last line of a list has no comma, and is looked at when the list has ended.
      if (this.#hasComma && this.#togetherBytes >= this.#chunkBytes) this.#take();
      return;
    }
    if (isList) {
      if (this.#hasComma) throw this.#misplaced();
      this.#take();
      this.#hasComma = undefined;
    }
    const text = line.toString("utf8", 0, line.length - 1);
    switch (this.#next) {
      case "head":
        this.firstLine = text;
        this.head = this.#open(text, "parts");
        this.#next = "part";
        return;
      case "part":
        this.#part = new OpenPart(this.#open(text, "blobs"), this.#place, `part ${this.parts.length + 1}`);
        this.#next = "blobs";
        return;
      case "blobs":
        if (text !== '],"entries":[') throw this.#misplaced();
        this.#next = "entries";
        return;
      case "entries":
        if (text !== "]}," && text !== "]}") throw this.#misplaced();
        this.#close();
        this.#next = text === "]}" ? "after" : "part";
        return;
      case "after":
        if (!/^\],"sha256":"[0-9a-f]{64}"\}$/.test(text)) throw this.#misplaced();
        this.#next = "end";
        return;
      default:
        throw this.#misplaced();
    }
  }

  /** The object that a line begins, and of which it has all but the list that is called so. */
  #open(text: string, list: string): Record<string, unknown> {
    const opened: unknown = JSON.parse(`${text}]}`);
    const value = isObject(opened) ? opened[list] : undefined;
    // With the comma: else a name that ends so could be taken for this one.
    if (!isObject(opened) || !Array.isArray(value) || value.length > 0 || !text.endsWith(`,"${list}":[`)) {
      throw this.#misplaced();
    }
    return opened;
  }

  #take(): void {
    if (this.#count === 0 || !this.#part) return;
    const bytes = Buffer.concat(this.#together, this.#togetherBytes);
    const text = bytes.subarray(0, bytes.length - (this.#hasComma ? 2 : 1));
    const values = JSON.parse(`[${text.toString("utf8")}]`) as unknown[];
    const count = this.#count;
    if (values.length !== count) throw this.#misplaced();
    [this.#together, this.#togetherBytes, this.#count] = [[], 0, 0];
    if (this.#next === "blobs") {
      this.#part.addBlobs(values);
      return;
    }
    for (const entry of this.#part.entriesFrom(values)) {
      assertPath(entry.path, this.#place);
      this.#part.paths.add(namedPath(entry));
      this.#part.bytes += entry.size;
      if (!entry.pieces) this.#size(entry.sha256, entry.size);
    }
    this.#part.lines.add(text, count);
  }

  #close(): void {
    if (!this.#part) return;
    const { head, blobs, lines, paths, bytes } = this.#part;
    for (const [name, size] of blobs) this.#size(name, size);
    this.parts.push({ head, blobs, entries: listOf(lines), bytes, mayClash: paths.mayClash() });
    this.#part = undefined;
  }

  #size(name: string, bytes: number): void {
    const known = this.#sizes.add(Number.parseInt(name.slice(0, 13), 16), bytes);
    if (known !== undefined && known !== bytes) this.mayDifferInSize = true;
  }

  #misplaced(): CorruptError {
    return corrupt(this.#place, "its lines are not those of a snapshot");
  }
}
