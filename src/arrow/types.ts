import type { DataType, Field } from "apache-arrow";
import { arrow } from "./arrow.ts";

/** A fixed-size list of floats: what LanceDB searches by. */
export function isFloatVector(type: DataType): boolean {
  return arrow.DataType.isFixedSizeList(type) && arrow.DataType.isFloat(type.valueType);
}

/** LanceDB's blob column: a struct of `data` and `uri`, marked in the field's metadata. */
export function isBlob(field: Field): boolean {
  return field.metadata.get("ARROW:extension:name") === "lance.blob.v2";
}

/** A type with one value a row that can be told equal or not: what may serve as a key. */
export function isScalar(type: DataType): boolean {
  if (arrow.DataType.isDictionary(type)) return isScalar(type.dictionary);
  return (
    arrow.DataType.isBool(type) ||
    arrow.DataType.isInt(type) ||
    arrow.DataType.isFloat(type) ||
    arrow.DataType.isDecimal(type) ||
    isText(type) ||
    isBytes(type) ||
    arrow.DataType.isDate(type) ||
    arrow.DataType.isTime(type) ||
    arrow.DataType.isTimestamp(type) ||
    arrow.DataType.isDuration(type)
  );
}

export function isText(type: DataType): boolean {
  return arrow.DataType.isUtf8(type) || arrow.DataType.isLargeUtf8(type);
}

export function isBytes(type: DataType): boolean {
  return (
    arrow.DataType.isBinary(type) ||
    arrow.DataType.isLargeBinary(type) ||
    arrow.DataType.isFixedSizeBinary(type)
  );
}

function isListLike(type: DataType): boolean {
  return arrow.DataType.isList(type) || arrow.DataType.isFixedSizeList(type);
}

/**
 * Whether a column of `from` holds exactly the buffers that a column of `to` holds, so that they can be
 * taken as they are. Names of list items and nullability do not matter; names of struct fields do.
 */
export function sameLayout(from: DataType, to: DataType): boolean {
  if (from.typeId !== to.typeId) return false;
  if (arrow.DataType.isDictionary(from) && arrow.DataType.isDictionary(to)) {
    return sameLayout(from.dictionary, to.dictionary) && sameLayout(from.indices, to.indices);
  }
  if (
    arrow.DataType.isFixedSizeList(from) &&
    arrow.DataType.isFixedSizeList(to) &&
    from.listSize !== to.listSize
  )
    return false;
  if (arrow.DataType.isDecimal(from) && arrow.DataType.isDecimal(to) && from.bitWidth !== to.bitWidth)
    return false;
  const children: readonly Field[] = from.children ?? [];
  if (children.length === 0) return from.toString() === to.toString();
  const others: readonly Field[] = to.children ?? [];
  const named = arrow.DataType.isStruct(from);
  return (
    children.length === others.length &&
    children.every((child, index) => {
      const other = others[index];
      return (
        other !== undefined && (!named || child.name === other.name) && sameLayout(child.type, other.type)
      );
    })
  );
}

/** Whether values of `from` can mean the same as values of `to`; each value is then checked as it is written. */
export function isConvertible(from: DataType, to: Field): boolean {
  if (arrow.DataType.isNull(from) || sameLayout(from, to.type)) return true;
  if (arrow.DataType.isDictionary(from)) return isConvertible(from.dictionary, to);
  const type: DataType = to.type;
  if (isBlob(to) && isBytes(from)) return true;
  if (arrow.DataType.isDictionary(type))
    return isConvertible(from, new arrow.Field(to.name, type.dictionary, true));
  if (isNumber(from)) return isNumber(type);
  if (isText(from)) return isText(type);
  if (isBytes(from)) return isBytes(type);
  if (isListLike(from)) return isListLike(type) && childrenConvertible(from, type);
  if (arrow.DataType.isStruct(from)) return arrow.DataType.isStruct(type) && childrenConvertible(from, type);
  return false;
}

function isNumber(type: DataType): boolean {
  return arrow.DataType.isInt(type) || arrow.DataType.isFloat(type);
}

function childrenConvertible(from: DataType, to: DataType): boolean {
  const targets: readonly Field[] = to.children ?? [];
  const byName = arrow.DataType.isStruct(from);
  return (from.children ?? []).every((child: Field, index: number) => {
    const target = byName ? targets.find((field) => field.name === child.name) : targets[index];
    // A field the table lacks is reported with its row when the values are written.
    return target === undefined || isConvertible(child.type, target);
  });
}
