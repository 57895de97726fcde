import type { Data, DataType, Field, Float } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { badValue, show } from "../../arrow/bad-value.ts";
import { valuesOf } from "../../arrow/codecs.ts";
import { firstNull } from "../../arrow/column.ts";
import { KeySet } from "../../arrow/digest-table.ts";
import { keyDigests } from "../../arrow/row-digests.ts";
import { isScalar } from "../../arrow/types.ts";
import { ValidationError } from "../../errors.ts";
import type { Part } from "./row-parts.ts";

/** Which columns tell rows apart in an upsert. Throws `ValidationError` where the table lacks one, or it cannot. */
export function keyFields(names: readonly string[], fields: readonly Field[]): Field[] {
  return names.map((name) => {
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined) throw new ValidationError(`The table has no column "${name}" to merge on.`);
    if (!isScalar(field.type)) {
      throw new ValidationError(`Column "${name}" has the type ${field.type}, which cannot be merged on.`);
    }
    return field;
  });
}

/**
 * Holds that no row lacks a key, and no two rows share one, over any number of parts: LanceDB would insert
 * both, or fail half-way, and never match null. Memory is at most 50 bytes a row, and 75 for
 * a moment, when the set grows.
 */
export class UniqueKeys {
  readonly #names: readonly string[];
  readonly #seen = new KeySet();

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** Throws `ValidationError` with row and column for a key that is missing, null, NaN, or repeated. */
  add(part: Part): void {
    const columns = this.#names.map((name) => keyColumn(name, part));
    const keyAt = keyDigests(columns);
    for (let index = 0; index < part.length; index++) {
      const row = part.rowOf(index);
      const before = this.#seen.add(keyAt(index), row);
      if (before === undefined) continue;
      const key = columns.map((data) => show(valuesOf(data.slice(index, 1))[0])).join(", ");
      throw badValue(
        { column: this.#names.join(", "), rowOf: () => row },
        index,
        `row ${before} has the key ${key} too`,
      );
    }
  }
}

function keyColumn(name: string, part: Part): Data {
  const place = { column: name, rowOf: part.rowOf };
  const data = part.columns.get(name);
  if (data === undefined) throw badValue(place, 0, "missing, and it is a key to merge on");
  const missing = firstNull(data);
  if (missing >= 0) throw badValue(place, missing, "null, or missing, and it is a key to merge on");
  refuseNaN(data, (index) => badValue(place, index, "NaN, and it is a key to merge on"));
  return data;
}

function refuseNaN(data: Data, bad: (index: number) => Error): void {
  const type: DataType = data.type;
  if (!arrow.DataType.isFloat(type)) return;
  const index = valuesOf(data).findIndex((value) => Number.isNaN(value));
  if (index >= 0) throw bad(index);
  foldZeros(type, data);
}

/** Writes -0 as 0: LanceDB's filters take them for the same key, its merge does not. */
function foldZeros(type: Float, data: Data): void {
  const values: Uint16Array | Float32Array | Float64Array = data.values;
  const half = type.precision === arrow.Precision.HALF;
  for (let index = 0; index < data.length; index++) {
    if (half ? values[index] === 0x8000 : values[index] === 0) values[index] = 0;
  }
}
