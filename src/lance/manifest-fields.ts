import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Manifest } from "./manifest.ts";

/** Numbers of what we read of a manifest's `Field` (protos/file.proto of Lance). */
const NAME = 2;
const ID = 3;
const PARENT_ID = 4;
const LOGICAL_TYPE = 5;

/** A column of a version, or a member of one. */
export interface ManifestField {
  /** The names that lead to it, the column's first. */
  readonly path: readonly string[];
  readonly id: number;
  /** Lance's name of its type: `int32`, `large_list`, … */
  readonly type: string;
  /** Whether its large values lie beside their data file. */
  readonly isBlob: boolean;
}

/** All columns of a version and their members. */
export function fieldsOf({ message }: Manifest): ManifestField[] {
  const fields = message.fields.map(parseField);
  const byId = new Map(fields.map((field) => [field.id, field]));
  const pathOf = ({ name, parent: id }: ParsedField, depth = 0): string[] => {
    const parent = byId.get(id);
    return parent === undefined || depth > fields.length ? [name] : [...pathOf(parent, depth + 1), name];
  };
  return fields.map((field, at) => {
    const text = Buffer.from(message.fields[at] ?? []).toString("latin1");
    const isBlob = text.includes("lance.blob") || text.includes("lance-encoding:blob");
    return { path: pathOf(field), id: field.id, type: field.type, isBlob };
  });
}

/**
 * Whether two versions keep each column and each of its members in the same fields. A column that was dropped and
 * made again has another id, under which old data files hold nothing, though its name, its type and the
 * fragments are the same.
 */
export function sameFieldIds(a: Manifest, b: Manifest): boolean {
  const idsOf = (manifest: Manifest) =>
    new Map(fieldsOf(manifest).map(({ path, id }) => [JSON.stringify(path), id]));
  const [before, after] = [idsOf(a), idsOf(b)];
  return before.size === after.size && [...before].every(([path, id]) => after.get(path) === id);
}

interface ParsedField {
  readonly name: string;
  readonly id: number;
  /** The id of what it is a member of; -1 for a column. */
  readonly parent: number;
  readonly type: string;
}

function parseField(bytes: Uint8Array): ParsedField {
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
