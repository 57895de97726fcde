import { Buffer } from "node:buffer";
import type { DataType, Field } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import { membersOf } from "./build-nested.ts";
import { NumberList, NumberText } from "./number-text.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const LIST_START = 0x5b;
const LIST_END = 0x5d;
const OBJECT_START = 0x7b;
const OBJECT_END = 0x7d;

const NULL = Buffer.from("null");
const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");

interface Member {
  /** Its name as writers write it, with what stands before and behind. */
  readonly start: Uint8Array;
  /** For lists of numbers: where they go. */
  readonly list: NumberList | undefined;
}

/**
 * Reads rows of JSON in place. Where a row is as our own writer makes most of them (members in order, no
 * escapes, lists of plain numbers), no object is made for it: the garbage of `JSON.parse` would be more than
 * the rows. Any other row goes through `JSON.parse`, which also is the one to refuse what is wrong.
 */
export class RowParser {
  readonly #fields: readonly Field[];
  readonly #members: readonly Member[];
  readonly #number = new NumberText();
  #bytes: Uint8Array;
  #at = 0;

  constructor(fields: readonly Field[], bytes: Uint8Array) {
    this.#fields = fields;
    this.#bytes = bytes;
    this.#members = fields.map(({ name, type }, index) => ({
      start: Buffer.from(`${index === 0 ? "{" : ","}${JSON.stringify(name)}:`),
      list: isNumberList(type) ? new NumberList() : undefined,
    }));
  }

  /** The members of the row in these bytes, in the order of the fields; valid until the next call. */
  parse(start: number, end: number): readonly unknown[] {
    const members = this.#fast(start, end);
    if (members !== undefined) return members;
    const text = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, end - start);
    return membersOf(JSON.parse(text.toString("utf8")), this.#fields);
  }

  /** Undefined for every row that is not as expected. */
  #fast(start: number, end: number): unknown[] | undefined {
    this.#at = start;
    const values: unknown[] = [];
    for (const member of this.#members) {
      if (!this.#skip(member.start)) return undefined;
      const value = this.#value(member.list);
      if (value === undefined) return undefined;
      values.push(value);
    }
    if (values.length === 0 && this.#bytes[this.#at++] !== OBJECT_START) return undefined;
    return this.#bytes[this.#at] === OBJECT_END && this.#at + 1 === end ? values : undefined;
  }

  #value(list: NumberList | undefined): unknown {
    const first = this.#bytes[this.#at] ?? 0;
    if (first === QUOTE) return this.#text();
    if (first === LIST_START) return list && this.#numbers(list);
    if (first === NULL[0]) return this.#skip(NULL) ? null : undefined;
    if (first === TRUE[0]) return this.#skip(TRUE) ? true : undefined;
    if (first === FALSE[0]) return this.#skip(FALSE) ? false : undefined;
    if (!this.#number.read(this.#bytes, this.#at)) return undefined;
    this.#at = this.#number.end;
    return this.#number.value;
  }

  #skip(expected: Uint8Array): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    for (let index = 0; index < expected.length; index++) {
      if (bytes[at + index] !== expected[index]) return false;
    }
    this.#at = at + expected.length;
    return true;
  }

  #text(): string | undefined {
    const bytes = this.#bytes;
    const start = this.#at + 1;
    let every = 0;
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0;
      if (byte === BACKSLASH || byte < 0x20) return undefined;
      if (byte !== QUOTE) {
        every |= byte;
        continue;
      }
      this.#at = at + 1;
      const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, at - start);
      return text.toString(every < 0x80 ? "latin1" : "utf8");
    }
    return undefined;
  }

  #numbers(list: NumberList): NumberList | undefined {
    const bytes = this.#bytes;
    const number = this.#number;
    list.length = 0;
    let at = this.#at + 1;
    if (bytes[at] === LIST_END) {
      this.#at = at + 1;
      return list;
    }
    while (number.read(bytes, at)) {
      list.push(number.value);
      at = number.end + 1;
      const next = bytes[number.end];
      if (next === COMMA) continue;
      if (next !== LIST_END) return undefined;
      this.#at = at;
      return list;
    }
    return undefined;
  }
}

/** Lists whose items are JSON numbers, which `appendNumbers` takes. */
function isNumberList(type: DataType): boolean {
  const { DataType: Is } = arrow;
  if (!Is.isFixedSizeList(type) && !Is.isList(type)) return false;
  const item = type.children[0]?.type;
  return item !== undefined && Is.isFloat(item);
}
