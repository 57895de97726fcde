import type { Data, DataType, Field, FixedSizeList, Float, Struct } from "apache-arrow";
import { ValidationError } from "../../errors.ts";
import { arrow } from "../arrow.ts";
import { badValue, type Place, show } from "../place.ts";
import { isBlob, isBytes, isFloatVector, isText } from "../types.ts";
import { columnData } from "./data.ts";
import { encodeDecimals } from "./decimal.ts";
import { encodeFixedLists, encodeLists, encodeVectors } from "./lists.ts";
import { encodeBools, encodeFloats, encodeInts } from "./numbers.ts";
import { encodeBlobs, encodeDictionary, encodeMaps, encodeStructs } from "./structs.ts";
import { encodeDates, encodeTimes, encodeTimestamps } from "./temporal.ts";
import { encodeBytes, encodeText } from "./text.ts";

/**
 * JavaScript values as an Arrow column of exactly the field's type. LanceDB's own conversion pads and cuts
 * vectors, and turns what does not fit into null, zero or NaN in silence; here every value is either stored
 * as it is or refused with a `ValidationError` that names row and column. Nulls in a column that allows
 * none are left to the check of the finished column, since an embedding may fill them first.
 */
export function encodeColumn(field: Field, values: readonly unknown[], place: Place): Data {
  const type: DataType = field.type;
  const { DataType: Is } = arrow;
  if (Is.isStruct(type)) {
    return isBlob(field)
      ? encodeBlobs(field as Field<Struct>, values, place)
      : encodeStructs(type, values, place);
  }
  if (isFloatVector(type)) return encodeVectors(type as FixedSizeList<Float>, values, place);
  if (Is.isFixedSizeList(type)) return encodeFixedLists(type, values, place);
  if (Is.isList(type)) return encodeLists(type, values, place);
  if (Is.isMap(type)) return encodeMaps(type, values, place);
  if (Is.isDictionary(type)) return encodeDictionary(type, values, place);
  return encodeScalars(type, values, place);
}

function encodeScalars(type: DataType, values: readonly unknown[], place: Place): Data {
  const { DataType: Is } = arrow;
  if (Is.isNull(type)) return encodeNulls(type, values, place);
  if (Is.isBool(type)) return encodeBools(type, values, place);
  if (Is.isInt(type)) return encodeInts(type, values, place);
  if (Is.isFloat(type)) return encodeFloats(type, values, place);
  if (isText(type)) return encodeText(type, values, place);
  if (isBytes(type)) return encodeBytes(type, values, place);
  if (Is.isTimestamp(type)) return encodeTimestamps(type, values, place);
  if (Is.isDate(type)) return encodeDates(type, values, place);
  if (Is.isTime(type) || Is.isDuration(type)) return encodeTimes(type, values, place);
  if (Is.isDecimal(type)) return encodeDecimals(type, values, place);
  throw new ValidationError(
    `Column "${place.column}" has the type ${type}, which cannot be written from here.`,
  );
}

function encodeNulls(type: DataType, values: readonly unknown[], place: Place): Data {
  const index = values.findIndex((value) => value !== null && value !== undefined);
  if (index >= 0) throw badValue(place, index, `${show(values[index])} in a column that holds only nulls`);
  return columnData(type, values.length, { nullCount: values.length }, {});
}
