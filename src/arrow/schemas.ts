import type { Data, DataType, Field, Schema } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { Problem } from "./bad-value.ts";
import { fieldsIn } from "./column.ts";
import { adoptField, isOurs, structWords, typeSignature, withFields } from "./types.ts";

/** A schema's columns in words, in their order. */
export function schemaSignature(schema: Schema): string {
  return structWords(schema.fields, (type) => typeSignature(type, 1));
}

/** Holds a table's columns to what a file can say: types that are known, names that are unique and without a dot. */
export function assertColumns(schema: Schema): void {
  const names = new Set<string>();
  for (const { name, type } of schema.fields) {
    // Lance's own rule: a dot means a member of a struct.
    if (typeof name !== "string" || name.includes("."))
      throw new Problem(`${JSON.stringify(name)} is not a column name`);
    if (names.has(name)) throw new Problem(`two columns are named ${JSON.stringify(name)}`);
    names.add(name);
    typeSignature(type);
  }
}

/** Whether two tables have the same columns, in the same order, with the same metadata. */
export function sameSchema(a: Schema, b: Schema): boolean {
  const inOrder = (metadata: Map<string, string>) => [...metadata].sort();
  const print = (field: Field): unknown => [
    field.name,
    String(field.type),
    arrow.DataType.isDecimal(field.type) ? field.type.bitWidth : 0, // which its name does not tell
    field.nullable,
    inOrder(field.metadata),
    fieldsIn(field.type).map(print),
  ];
  const describe = (schema: Schema) => JSON.stringify([inOrder(schema.metadata), schema.fields.map(print)]);
  return describe(a) === describe(b);
}

/**
 * The same schema in LanceDB's copy of apache-arrow, which new columns must be made with. Columns that are
 * only read may be of any copy. @throws ValidationError for types that LanceDB does not store.
 */
export function adoptSchema(schema: Schema): Schema {
  if (isOurs(schema, arrow.Schema)) return schema;
  return new arrow.Schema(schema.fields.map(adoptField), new Map(schema.metadata));
}

/**
 * The schema with its dictionaries numbered 0, 1, … in the order of its fields, so that each field has a
 * dictionary of its own in the file, whatever numbers they came with.
 */
export function numberDictionaries(schema: Schema): Schema {
  let next = 0;
  return rebuild(schema, () => next++);
}

/** The schema with empty names for those that are missing: apache-arrow writes no empty name, and reads null. */
export function nameFields(schema: Schema): Schema {
  return rebuild(schema, (id) => id);
}

function rebuild(schema: Schema, idOf: (id: number) => number): Schema {
  const rebuilt = (type: DataType): DataType => {
    if (!arrow.DataType.isDictionary(type)) return withFields(type, fieldsIn(type).map(fieldOf));
    return new arrow.Dictionary(type.dictionary, type.indices as never, idOf(type.id), type.isOrdered);
  };
  const fieldOf = (field: Field) =>
    new arrow.Field(field.name ?? "", rebuilt(field.type), field.nullable, field.metadata);
  return new arrow.Schema(schema.fields.map(fieldOf), schema.metadata);
}

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
