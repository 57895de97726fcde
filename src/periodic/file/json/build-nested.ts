import type { Data, DataType, Field } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import { column } from "../column.ts";
import { Problem } from "../problem.ts";
import { BatchFull, MAX_UNSEEN_ITEMS } from "./batch-full.ts";
import { type ColumnBuilder, columnBuilder } from "./build-column.ts";
import { Validity } from "./growing.ts";
import { NumberList } from "./number-text.ts";

function itemField(type: DataType): Field {
  const field = (type.children as readonly Field[] | null)?.[0];
  if (field === undefined) throw new TypeError(`${type} has no items.`);
  return field;
}

/** Lists, and maps as lists of pairs of key and value. */
export class ListBuilder implements ColumnBuilder {
  readonly #type: DataType;
  readonly #isMap: boolean;
  readonly #items: ColumnBuilder;
  readonly #validity = new Validity();
  readonly #ends: number[] = [0];

  constructor(type: DataType) {
    this.#type = type;
    this.#isMap = arrow.DataType.isMap(type);
    this.#items = columnBuilder(itemField(type).type);
  }

  get length(): number {
    return this.#validity.length;
  }

  append(value: unknown): void {
    if (value !== null) {
      if (value instanceof NumberList) appendNumbers(this.#items, value);
      else {
        if (!Array.isArray(value)) throw new Problem("a value is no list");
        for (const item of value) this.#items.append(this.#isMap ? entryOf(item) : item);
      }
    }
    this.#ends.push(this.#items.length);
    this.#validity.push(value !== null);
  }

  appendUnseen(nullable: boolean): void {
    this.append(nullable ? null : []);
  }

  finish(): Data {
    const children = [this.#items.finish()];
    const offsets = Int32Array.from(this.#ends);
    const { nullCount } = this.#validity;
    return column(this.#type, this.length, nullCount, {
      offsets,
      children,
      validity: this.#validity.bitmap(),
    });
  }
}

function appendNumbers(items: ColumnBuilder, list: NumberList): void {
  if (items.appendNumbers === undefined) throw new Problem("a value is no list of its type");
  items.appendNumbers(list);
}

/** What a struct builder takes: its members in their order. */
class Entry {
  readonly members: readonly unknown[];
  constructor(members: readonly unknown[]) {
    this.members = members;
  }
}

function entryOf(item: unknown): Entry {
  if (!Array.isArray(item) || item.length !== 2) throw new Problem("an entry of a map is no pair");
  return new Entry(item);
}

export class FixedSizeListBuilder implements ColumnBuilder {
  readonly #type: DataType;
  readonly #size: number;
  readonly #items: ColumnBuilder;
  readonly #validity = new Validity();

  constructor(type: DataType & { readonly listSize: number }) {
    this.#type = type;
    this.#size = type.listSize;
    this.#items = columnBuilder(itemField(type).type);
  }

  get length(): number {
    return this.#validity.length;
  }

  append(value: unknown): void {
    if (value === null) {
      this.appendUnseen(true);
      return;
    }
    const isList = Array.isArray(value) || value instanceof NumberList;
    if (!isList || value.length !== this.#size)
      throw new Problem(`a value is no list of ${this.#size} items`);
    if (value instanceof NumberList) appendNumbers(this.#items, value);
    else for (const item of value) this.#items.append(item);
    this.#validity.push(true);
  }

  /** The items of a null are zeros: a vector column without null items stays one. */
  appendUnseen(nullable: boolean): void {
    if (this.#items.length + this.#size > MAX_UNSEEN_ITEMS) throw new BatchFull();
    for (let item = 0; item < this.#size; item++) this.#items.appendUnseen(false);
    this.#validity.push(!nullable);
  }

  finish(): Data {
    const children = [this.#items.finish()];
    return column(this.#type, this.length, this.#validity.nullCount, {
      children,
      validity: this.#validity.bitmap(),
    });
  }
}

export class StructBuilder implements ColumnBuilder {
  readonly #type: DataType;
  readonly #fields: readonly Field[];
  readonly #members: readonly ColumnBuilder[];
  readonly #validity = new Validity();

  constructor(type: DataType, fields: readonly Field[]) {
    this.#type = type;
    this.#fields = fields;
    this.#members = fields.map((field) => columnBuilder(field.type));
  }

  get length(): number {
    return this.#validity.length;
  }

  append(value: unknown): void {
    if (value === null) {
      this.appendUnseen(true);
      return;
    }
    const members = value instanceof Entry ? value.members : membersOf(value, this.#fields);
    for (const [index, member] of this.#members.entries()) member.append(members[index]);
    this.#validity.push(true);
  }

  appendUnseen(nullable: boolean): void {
    for (const [index, member] of this.#members.entries())
      member.appendUnseen(this.#fields[index]?.nullable ?? true);
    this.#validity.push(!nullable);
  }

  finish(): Data {
    const children = this.#members.map((member) => member.finish());
    return column(this.#type, this.length, this.#validity.nullCount, {
      children,
      validity: this.#validity.bitmap(),
    });
  }
}

/** The members of an object in the order of the fields; none may be missing, and none be there that is no field. */
export function membersOf(value: unknown, fields: readonly Field[]): unknown[] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Problem("a value is no object");
  const members = value as Readonly<Record<string, unknown>>;
  if (Object.keys(members).length !== fields.length)
    throw new Problem("an object has not the members of its type");
  return fields.map(({ name }) => {
    if (!Object.hasOwn(members, name)) throw new Problem(`${JSON.stringify(name)} is missing`);
    return members[name];
  });
}
