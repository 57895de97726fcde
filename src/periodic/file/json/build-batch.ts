import type { RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import { column } from "../column.ts";
import { assertNulls } from "../nulls.ts";
import { Problem } from "../problem.ts";
import { BatchFull } from "./batch-full.ts";
import { columnBuilder } from "./build-column.ts";

/** A value that is wrong, and the row and column that it stands in. */
export class RowProblem extends Problem {
  readonly row: number;

  constructor(row: number, message: string, cause: unknown) {
    super(message, { cause });
    this.row = row;
  }
}

/** Rows that are read when they are asked for, the members of each in the order of the schema's fields. */
export interface RowSource {
  readonly length: number;
  /** Valid until the next call. */
  membersAt(row: number): readonly unknown[];
}

/** The batches of rows of JSON: one, or several where one cannot hold them. */
export function* buildBatches(
  schema: Schema,
  rows: RowSource,
  from = 0,
  to: number = rows.length,
): Generator<RecordBatch> {
  try {
    yield buildBatch(schema, rows, from, to);
    return;
  } catch (error) {
    if (!(error instanceof BatchFull)) throw error;
    if (to - from < 2) throw new RowProblem(from, "it stands for more than memory can hold", error);
  }
  const middle = (from + to) >> 1;
  yield* buildBatches(schema, rows, from, middle);
  yield* buildBatches(schema, rows, middle, to);
}

function buildBatch(schema: Schema, rows: RowSource, from: number, to: number): RecordBatch {
  const { fields } = schema;
  const builders = fields.map((field) => columnBuilder(field.type));
  for (let row = from; row < to; row++) {
    let at = -1;
    try {
      const members = rows.membersAt(row);
      for (at = 0; at < builders.length; at++) builders[at]?.append(members[at]);
    } catch (error) {
      if (!(error instanceof Problem || error instanceof SyntaxError)) throw error;
      const name = fields[at]?.name;
      const where = name === undefined ? "" : `column ${JSON.stringify(name)}: `;
      throw new RowProblem(row, where + error.message, error);
    }
  }
  const children = builders.map((builder) => builder.finish());
  assertNulls(fields, children);
  const data = column(new arrow.Struct(fields), to - from, 0, { children });
  return new arrow.RecordBatch(schema, data as never);
}
