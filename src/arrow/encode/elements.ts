import { types } from "node:util";
/** The items of a list value: an array, a typed array, or anything else that iterates (an Arrow vector, a Set). */
export function elementsOf(value: unknown): ArrayLike<unknown> | undefined {
  if (Array.isArray(value)) return value;
  if (typeof value !== "object" || value === null || types.isMap(value)) return undefined;
  if (ArrayBuffer.isView(value)) return types.isDataView(value) ? undefined : (value as Uint8Array);
  return isIterable(value) ? Array.from(value) : undefined;
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value && typeof value[Symbol.iterator] === "function";
}

/** An object of named values: what a struct, or a row, can be read from. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value) &&
    !(types.isDate(value) || types.isMap(value) || types.isSet(value) || types.isRegExp(value)) &&
    !types.isArrayBuffer(value)
  );
}
