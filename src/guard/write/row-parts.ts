import type { Data, Field } from "apache-arrow";
import type { Place } from "../../arrow/bad-value.ts";
import { checkColumn } from "../../arrow/check-column.ts";
import { encodeColumn } from "../../arrow/codecs.ts";
import { conform } from "../../arrow/conform.ts";
import type { BatchLike } from "../../arrow/schemas.ts";
import { ValidationError } from "../../errors.ts";
import { groupRows, unknownColumn } from "./infer-schema.ts";
import { lengthOf, type Piece } from "./row-source.ts";

/** A few rows as checked Arrow columns; columns that none of them names are absent. */
export interface Part {
  readonly columns: ReadonlyMap<string, Data>;
  readonly length: number;
  /** The row of the input, counted from 0, that stands at an index of the columns. */
  rowOf(index: number): number;
}

/** How rows become parts. */
export interface PartPlan {
  readonly fields: readonly Field[];
  /**
   * Whether rows that name different columns go to different parts. An upsert needs it: a column that a
   * row leaves out keeps its value, whatever the rows beside it name.
   */
  readonly splitByColumns: boolean;
  /** Columns that embeddings fill afterwards, which may therefore be missing or null here. */
  readonly filledLater: ReadonlySet<string>;
}

/** Bytes that one part should stay below, so that checking takes little memory whatever a row weighs. */
const PART_BYTES = 2 * 1024 * 1024;
const MOST_ROWS = 4096;

/** Turns pieces into parts and checks every value. Throws `ValidationError` naming row and column. */
export class PartReader {
  readonly #plan: PartPlan;
  readonly #fields: ReadonlyMap<string, Field>;
  #rowsAtOnce = 64;

  constructor(plan: PartPlan) {
    this.#plan = plan;
    this.#fields = new Map(plan.fields.map((field) => [field.name, field]));
  }

  *read(piece: Piece): Generator<Part> {
    const total = lengthOf(piece);
    for (let at = 0; at < total; ) {
      const end = Math.min(at + this.#rowsAtOnce, total);
      let bytes = 0;
      for (const part of this.#partsOf(piece, at, end)) {
        bytes += bytesOf(part);
        yield part;
      }
      const fitting = Math.floor((PART_BYTES * (end - at)) / Math.max(bytes, 1));
      this.#rowsAtOnce = Math.max(1, Math.min(MOST_ROWS, fitting));
      at = end;
    }
  }

  #partsOf(piece: Piece, at: number, end: number): Iterable<Part> {
    if (piece.kind === "batch") return [this.#fromBatch(piece.batch, piece.from, at, end)];
    return this.#fromRows(piece.rows, piece.from, at, end);
  }

  *#fromRows(rows: readonly unknown[], from: number, at: number, end: number): Generator<Part> {
    const groups = groupRows(rows.slice(at, end), from + at, this.#fields, this.#plan.splitByColumns);
    for (const { names, rows: group, numbers } of groups) {
      const fields = this.#plan.fields.filter((field) => names.has(field.name));
      const rowOf = (index: number) => numbers[index] ?? from;
      yield this.#checked(fields, group.length, rowOf, (field, place) => {
        const values = group.map((row) => row[field.name]);
        return encodeColumn(field, values, place);
      });
    }
  }

  #fromBatch(batch: BatchLike, from: number, at: number, end: number): Part {
    const columns = new Map(
      batch.schema.fields.map((field, index) => [field.name, batch.data.children[index]]),
    );
    for (const name of columns.keys()) {
      if (!this.#fields.has(name)) throw unknownColumn(from + at, name);
    }
    const fields = this.#plan.fields.filter((field) => columns.has(field.name));
    const rowOf = (index: number) => from + at + index;
    return this.#checked(fields, end - at, rowOf, (field, place) => {
      const column = columns.get(field.name);
      if (column === undefined) throw new TypeError(`The batch lost its column ${field.name}.`);
      return conform(column.slice(at, end - at), field, place);
    });
  }

  #checked(
    fields: readonly Field[],
    length: number,
    rowOf: (index: number) => number,
    make: (field: Field, place: Place) => Data,
  ): Part {
    const columns = new Map<string, Data>();
    for (const field of fields) {
      const place = { column: field.name, rowOf };
      const data = make(field, place);
      if (!this.#plan.filledLater.has(field.name)) checkColumn(field, data, place);
      columns.set(field.name, data);
    }
    for (const field of this.#plan.fields) {
      if (field.nullable || columns.has(field.name) || this.#plan.filledLater.has(field.name)) continue;
      throw new ValidationError(
        `Row ${rowOf(0)}, column "${field.name}": missing, and the column allows no nulls (rows count from 0).`,
      );
    }
    return { columns, length, rowOf };
  }
}

/** Bytes in a part's buffers. */
export function bytesOf(part: Part): number {
  let bytes = 0;
  for (const data of part.columns.values()) bytes += data.byteLength;
  return bytes;
}
