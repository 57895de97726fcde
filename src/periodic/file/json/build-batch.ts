import type { RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import { column } from "../column.ts";
import { Problem } from "../problem.ts";
import { BatchFull } from "./batch-full.ts";
import { columnBuilder } from "./build-column.ts";
import { membersOf } from "./build-nested.ts";

/** A value that is wrong, and the row and column that it stands in. */
export class RowProblem extends Problem {
  readonly row: number;

  constructor(row: number, message: string, cause: unknown) {
    super(message, { cause });
    this.row = row;
  }
}

/** The batches of rows that were read from JSON: one, or several where one cannot hold them. */
export function* buildBatches(
  schema: Schema,
  rows: readonly unknown[],
  firstRow = 0,
): Generator<RecordBatch> {
  try {
    yield buildBatch(schema, rows, firstRow);
    return;
  } catch (error) {
    if (!(error instanceof BatchFull)) throw error;
    if (rows.length < 2) throw new RowProblem(firstRow, "it stands for more than memory can hold", error);
  }
  const half = rows.length >> 1;
  yield* buildBatches(schema, rows.slice(0, half), firstRow);
  yield* buildBatches(schema, rows.slice(half), firstRow + half);
}

function buildBatch(schema: Schema, rows: readonly unknown[], firstRow: number): RecordBatch {
  const { fields } = schema;
  const builders = fields.map((field) => columnBuilder(field.type));
  rows.forEach((row, index) => {
    let at = -1;
    try {
      const members = membersOf(row, fields);
      for (at = 0; at < builders.length; at++) builders[at]?.append(members[at]);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const name = fields[at]?.name;
      const where = name === undefined ? "" : `column ${JSON.stringify(name)}: `;
      throw new RowProblem(firstRow + index, where + error.message, error);
    }
  });
  const children = builders.map((builder) => builder.finish());
  const data = column(new arrow.Struct(fields), rows.length, 0, { children });
  return new arrow.RecordBatch(schema, data as never);
}
