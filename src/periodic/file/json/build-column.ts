import type { Data, DataType } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import { column, isBytes, isText } from "../column.ts";
import { Problem } from "../problem.ts";
import { DictionaryBuilder } from "./build-dictionary.ts";
import { fixedBuilder } from "./build-fixed.ts";
import { FixedSizeListBuilder, ListBuilder, StructBuilder } from "./build-nested.ts";
import { BitsBuilder, VariableBuilder } from "./build-variable.ts";
import type { NumberList } from "./number-text.ts";

/** Makes a column of values that were read from JSON. Throws a Problem for a value that is none of its type. */
export interface ColumnBuilder {
  readonly length: number;
  append(value: unknown): void;
  /** A value that nobody sees, since what holds it is null: null where `nullable`, else the type's zero. */
  appendUnseen(nullable: boolean): void;
  finish(): Data;
  /** Appends each of the numbers; only builders of floats do. */
  appendNumbers?(list: NumberList): void;
}

export function columnBuilder(type: DataType): ColumnBuilder {
  const { DataType: Is } = arrow;
  if (Is.isNull(type)) return new NullBuilder(type);
  if (Is.isBool(type)) return new BitsBuilder(type);
  if (isText(type) || isBytes(type)) return new VariableBuilder(type);
  if (Is.isDictionary(type)) return new DictionaryBuilder(type);
  if (Is.isList(type) || Is.isMap(type)) return new ListBuilder(type);
  if (Is.isFixedSizeList(type)) return new FixedSizeListBuilder(type);
  if (Is.isStruct(type)) return new StructBuilder(type, type.children);
  return fixedBuilder(type);
}

class NullBuilder implements ColumnBuilder {
  readonly #type: DataType;
  length = 0;

  constructor(type: DataType) {
    this.#type = type;
  }

  append(value: unknown): void {
    if (value !== null) throw new Problem("a value in a column of nulls");
    this.length++;
  }

  appendUnseen(): void {
    this.length++;
  }

  finish(): Data {
    return column(this.#type, this.length, this.length, {});
  }
}
