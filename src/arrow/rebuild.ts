import type { DataType, Field, Schema } from "apache-arrow";
import { arrow } from "./arrow.ts";

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
    const { DataType: Is } = arrow;
    if (Is.isDictionary(type)) {
      return new arrow.Dictionary(type.dictionary, type.indices as never, idOf(type.id), type.isOrdered);
    }
    if (Is.isList(type)) return new arrow.List(...fields(type.children));
    if (Is.isFixedSizeList(type)) return new arrow.FixedSizeList(type.listSize, ...fields(type.children));
    if (Is.isStruct(type)) return new arrow.Struct(type.children.map(fieldOf));
    if (Is.isMap(type)) return new arrow.Map_(...(fields(type.children) as [never]), type.keysSorted);
    return type;
  };
  const fieldOf = (field: Field) =>
    new arrow.Field(field.name ?? "", rebuilt(field.type), field.nullable, field.metadata);
  const fields = (children: readonly Field[]) => children.map(fieldOf) as [Field];
  return new arrow.Schema(schema.fields.map(fieldOf), schema.metadata);
}
