import type { Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { Problem } from "../../arrow/problem.ts";
import { asCount, asObject, type Json } from "./document.ts";
import type { RowKind, TableForm, TableHead } from "./types.ts";

/** Where rows of a table lie in the file, and how many there are. */
export interface Part {
  readonly offset: number;
  readonly bytes: number;
  readonly rows: number;
}

/** A part's name in the file: all rows of a table, or what changed in it. */
export type PartName = "rows" | RowKind;

/** The parts of a table of each form, in this order. */
export const PARTS: Record<TableForm, readonly PartName[]> = {
  rows: ["rows"],
  replaced: ["rows"],
  changes: ["upserts", "deletes"],
  dropped: [],
};

/** Which part of a table the rows of a kind are in. */
export function partOf(form: TableForm, kind: RowKind): PartName | undefined {
  const name = form === "changes" ? kind : kind === "upserts" ? "rows" : undefined;
  return name !== undefined && PARTS[form].includes(name) ? name : undefined;
}

export type Parts = Partial<Record<PartName, Part>>;

/** The parts of a table, each within `start` and `end`. @throws Problem */
export function parseParts(form: TableForm, json: Json, start: number, end: number): Parts {
  const parts: Parts = {};
  for (const name of PARTS[form]) {
    const part = asObject(json[name], `its part "${name}"`);
    const offset = asCount(part["offset"], `the offset of its ${name}`);
    const bytes = asCount(part["bytes"], `the size of its ${name}`);
    const rows = asCount(part["rows"], `the count of its ${name}`);
    if (offset < start || offset + bytes > end) {
      throw new Problem(`its ${name} at ${offset}, ${bytes} bytes, do not lie between ${start} and ${end}`);
    }
    parts[name] = { offset, bytes, rows };
  }
  for (const name of ["rows", "upserts", "deletes"] as const) {
    if (json[name] !== undefined && parts[name] === undefined)
      throw new Problem(`it has ${name}, with the form ${form}`);
  }
  return parts;
}

/** The columns of a part: the key's for deletes, in the key's order; else all. */
export function partSchema(head: TableHead, part: PartName): Schema {
  if (head.schema === undefined) throw new TypeError(`Table ${head.table} has no schema.`);
  if (part !== "deletes") return head.schema;
  const { fields } = head.schema;
  return new arrow.Schema(head.key.flatMap((name) => fields.filter((field) => field.name === name)));
}
