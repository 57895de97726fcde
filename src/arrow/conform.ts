import type { Data, Field } from "apache-arrow";
import { ValidationError } from "../errors.ts";
import { valuesOf } from "./decode.ts";
import { encodeColumn } from "./encode/encode-column.ts";
import { pack } from "./pack.ts";
import type { Place } from "./place.ts";
import { isConvertible, sameLayout } from "./types.ts";

/**
 * An Arrow column as the table's column wants it. The same layout is taken as it is; numbers go to other
 * numbers, text to other text, lists to other lists value by value, each checked, so that nothing is
 * rounded, cut or padded in silence. Throws `ValidationError` where the types cannot mean the same.
 */
export function conform(data: Data, target: Field, place: Place): Data {
  if (sameLayout(data.type, target.type)) return pack(target.type, [data]);
  if (!isConvertible(data.type, target)) {
    throw new ValidationError(
      `Row ${place.rowOf(0)}, column "${place.column}": the data has the type ${data.type}, the table ${target.type}.`,
    );
  }
  return encodeColumn(target, valuesOf(data), place);
}
