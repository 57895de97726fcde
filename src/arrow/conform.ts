import type { Data, DataType, Field } from "apache-arrow";
import { ValidationError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import type { Place } from "./bad-value.ts";
import { encodeColumn, valuesOf } from "./codecs.ts";
import { fieldsIn } from "./column.ts";
import { joinColumns } from "./join-columns.ts";
import { familyOf, isBlob } from "./types.ts";

/**
 * An Arrow column as the table's column wants it. The same layout is taken as it is; numbers go to other
 * numbers, text to other text, lists to other lists value by value, each checked, so that nothing is
 * rounded, cut or padded in silence. Throws `ValidationError` where the types cannot mean the same.
 */
export function conform(data: Data, target: Field, place: Place): Data {
  if (sameLayout(data.type, target.type)) return joinColumns(target.type, [data]);
  if (isConvertible(data.type, target)) return encodeColumn(target, valuesOf(data), place);
  throw new ValidationError(
    `Row ${place.rowOf(0)}, column "${place.column}": the data has the type ${data.type}, the table ${target.type}.`,
  );
}

/**
 * Whether a column of `from` holds exactly the buffers that a column of `to` holds, so that they can be
 * taken as they are. Names of list items and nullability do not matter; names of struct fields do.
 */
export function sameLayout(from: DataType, to: DataType): boolean {
  const { DataType: Is } = arrow;
  if (from.typeId !== to.typeId) return false;
  if (Is.isDictionary(from) && Is.isDictionary(to)) {
    return sameLayout(from.dictionary, to.dictionary) && sameLayout(from.indices, to.indices);
  }
  if (Is.isFixedSizeList(from) && Is.isFixedSizeList(to) && from.listSize !== to.listSize) return false;
  if (Is.isDecimal(from) && Is.isDecimal(to) && from.bitWidth !== to.bitWidth) return false;
  const [inner, others] = [fieldsIn(from), fieldsIn(to)];
  if (inner.length === 0) return from.toString() === to.toString();
  const named = Is.isStruct(from);
  return (
    inner.length === others.length &&
    inner.every((field, index) => {
      const other = others[index];
      return other && (!named || field.name === other.name) && sameLayout(field.type, other.type);
    })
  );
}

/** Whether values of `from` can mean the same as values of `to`; each value is then checked as it is written. */
function isConvertible(from: DataType, to: Field): boolean {
  const { DataType: Is } = arrow;
  const type: DataType = to.type;
  if (Is.isNull(from) || sameLayout(from, type)) return true;
  if (Is.isDictionary(from)) return isConvertible(from.dictionary, to);
  const family = familyOf(from);
  if (isBlob(to) && family === "bytes") return true;
  if (Is.isDictionary(type)) return isConvertible(from, new arrow.Field(to.name, type.dictionary, true));
  if (family === undefined || family !== familyOf(type)) return false;
  const targets = fieldsIn(type);
  return fieldsIn(from).every((field, index) => {
    const target = family === "struct" ? targets.find(({ name }) => name === field.name) : targets[index];
    // A field the table lacks is reported with its row when the values are written.
    return target === undefined || isConvertible(field.type, target);
  });
}
