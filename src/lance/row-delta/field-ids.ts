import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Manifest } from "../manifest.ts";

/** Numbers of what we read of a manifest's `Field` (protos/file.proto of Lance). */
const NAME = 2;
const ID = 3;
const PARENT_ID = 4;
const LOGICAL_TYPE = 5;

interface Field {
  readonly name: string;
  readonly id: number;
  readonly parent: number;
  /** Lance's name of its type: `int32`, `large_list`, … */
  readonly type: string;
}

/**
 * Whether two versions keep each column and each of its members in the same fields. A column that was dropped and
 * made again has another id, under which old data files hold nothing, though its name, its type and the
 * fragments are the same.
 */
export function sameFieldIds(a: Manifest, b: Manifest): boolean {
  const [before, after] = [fieldIds(a), fieldIds(b)];
  if (before.size !== after.size) return false;
  for (const [path, id] of before) if (after.get(path) !== id) return false;
  return true;
}

/** Lance's names of the types of all columns and their members, each with the name of its column. */
export function logicalTypes(manifest: Manifest): { readonly column: string; readonly type: string }[] {
  return withPaths(manifest).map(({ path: [column = ""], field }) => ({ column, type: field.type }));
}

/** The ids by the names that lead to them. */
function fieldIds(manifest: Manifest): Map<string, number> {
  return new Map(withPaths(manifest).map(({ path, field }) => [JSON.stringify(path), field.id]));
}

function withPaths({ message }: Manifest): { readonly path: string[]; readonly field: Field }[] {
  const fields = message.fields.map(parseField);
  const byId = new Map(fields.map((field) => [field.id, field]));
  const pathOf = (field: Field, depth = 0): string[] => {
    const parent = byId.get(field.parent);
    return parent === undefined || depth > fields.length
      ? [field.name]
      : [...pathOf(parent, depth + 1), field.name];
  };
  return fields.map((field) => ({ path: pathOf(field), field }));
}

function parseField(bytes: Uint8Array): Field {
  const reader = new BinaryReader(bytes);
  let [name, id, parent, logical] = ["", 0, 0, ""];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === NAME) name = reader.string();
    else if (number === ID) id = reader.int32();
    else if (number === PARENT_ID) parent = reader.int32();
    else if (number === LOGICAL_TYPE) logical = reader.string();
    else reader.skip(type);
  }
  return { name, id, parent, type: logical };
}
