import type { Data, DataType, Field, Schema } from "apache-arrow";
import { ValidationError } from "../errors.ts";
import { arrow } from "./arrow.ts";

/** An Arrow table of any copy of apache-arrow: told by its parts, since `instanceof` sees one copy only. */
export interface TableLike {
  readonly schema: Schema;
  readonly batches: readonly BatchLike[];
}

/** A record batch of any copy of apache-arrow. */
export interface BatchLike {
  readonly schema: Schema;
  readonly data: Data;
}

export function isTableLike(value: unknown): value is TableLike {
  return hasSchema(value) && "batches" in value && Array.isArray(value.batches);
}

export function isBatchLike(value: unknown): value is BatchLike {
  if (!hasSchema(value) || !("data" in value)) return false;
  const data = value.data;
  return typeof data === "object" && data !== null && "children" in data && Array.isArray(data.children);
}

function hasSchema(value: unknown): value is { schema: object } {
  if (typeof value !== "object" || value === null || !("schema" in value)) return false;
  const schema = value.schema;
  return typeof schema === "object" && schema !== null && "fields" in schema && Array.isArray(schema.fields);
}

/**
 * The same schema in LanceDB's copy of apache-arrow, which new columns must be made with. Columns that are
 * only read may be of any copy.
 */
export function adoptSchema(schema: Schema): Schema {
  if (isOurs(schema, arrow.Schema)) return schema;
  return new arrow.Schema(schema.fields.map(adoptField), new Map(schema.metadata));
}

/** `instanceof`, without the compiler concluding that the other copy's types cannot exist. */
function isOurs(value: object, ours: abstract new (...args: never[]) => object): boolean {
  return value instanceof ours;
}

function adoptField(field: Field): Field {
  return new arrow.Field(field.name, adoptType(field.type), field.nullable, new Map(field.metadata));
}

function adoptType(type: DataType): DataType {
  if (isOurs(type, arrow.DataType)) return type;
  const { DataType: Is } = arrow;
  if (Is.isDictionary(type)) {
    const indices = adoptType(type.indices) as typeof type.indices;
    return new arrow.Dictionary(adoptType(type.dictionary), indices, type.id, type.isOrdered);
  }
  const children: Field[] = (type.children ?? []).map(adoptField);
  const [first] = children;
  if (Is.isStruct(type)) return new arrow.Struct(children);
  if (first !== undefined && Is.isList(type)) return new arrow.List(first);
  if (first !== undefined && Is.isFixedSizeList(type)) return new arrow.FixedSizeList(type.listSize, first);
  if (first !== undefined && Is.isMap(type)) {
    return new arrow.Map_(first as ConstructorParameters<typeof arrow.Map_>[0], type.keysSorted);
  }
  return adoptFlatType(type);
}

function adoptFlatType(type: DataType): DataType {
  const { DataType: Is } = arrow;
  if (Is.isNull(type)) return new arrow.Null();
  if (Is.isBool(type)) return new arrow.Bool();
  if (Is.isInt(type)) return new arrow.Int(type.isSigned, type.bitWidth);
  if (Is.isFloat(type)) return new arrow.Float(type.precision);
  if (Is.isUtf8(type)) return new arrow.Utf8();
  if (Is.isLargeUtf8(type)) return new arrow.LargeUtf8();
  if (Is.isBinary(type)) return new arrow.Binary();
  if (Is.isLargeBinary(type)) return new arrow.LargeBinary();
  if (Is.isFixedSizeBinary(type)) return new arrow.FixedSizeBinary(type.byteWidth);
  if (Is.isDecimal(type)) return new arrow.Decimal(type.scale, type.precision, type.bitWidth);
  if (Is.isDate(type)) return new arrow.Date_(type.unit);
  if (Is.isTime(type)) return new arrow.Time(type.unit, type.bitWidth);
  if (Is.isTimestamp(type)) return new arrow.Timestamp(type.unit, type.timezone);
  if (Is.isDuration(type)) return new arrow.Duration(type.unit);
  throw new ValidationError(`Columns of the type ${type} cannot be written from here.`);
}
