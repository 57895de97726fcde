import type { Field, Schema } from "apache-arrow";
import { UnsupportedError } from "../../errors.ts";
import type { Manifest } from "../../lance/manifest.ts";
import { blobColumnsOf } from "../../lance/row-delta/blob-digests.ts";
import { logicalTypes } from "../../lance/row-delta/field-ids.ts";

const ADVICE = "Leave the table out with the option tables, or write its rows to one without that column.";

/** Types that apache-arrow, by which LanceDB's client hands over rows, does not know, as Lance names them. */
const UNKNOWN_TO_ARROW = /^large_list/;

/**
 * Holds that a scan gives a table's columns as its schema states them.
 *
 * @throws UnsupportedError naming table and column.
 */
export function assertReadable(table: string, schema: Schema): void {
  for (const field of schema.fields) {
    if (field.name === "" || field.name.includes("`")) {
      throw refusal(table, field.name, "whose name LanceDB takes in no query");
    }
    if (field.metadata.get("computed_column") === "true") {
      throw refusal(table, field.name, "that LanceDB computes, and takes no values for");
    }
    if (blobColumnsOf({ fields: [field] }).unreadable.length > 0) {
      throw refusal(table, field.name, "that keeps blobs, whose bytes a scan does not give");
    }
    if (holdsJson(field)) {
      throw refusal(table, field.name, "of JSON, which LanceDB reads as another type than it states");
    }
  }
}

/** The error for a table whose schema could not be read; undefined where its columns' types are not why. */
export function unreadableSchema(
  table: string,
  version: Manifest,
  cause: unknown,
): UnsupportedError | undefined {
  const odd = logicalTypes(version).find(({ type }) => UNKNOWN_TO_ARROW.test(type));
  if (odd === undefined) return undefined;
  return refusal(table, odd.column, `of the type ${odd.type}, which LanceDB's client cannot read`, cause);
}

function refusal(table: string, column: string, what: string, cause?: unknown): UnsupportedError {
  return new UnsupportedError(
    `The table ${table} has a column ${JSON.stringify(column)} ${what}: periodic files cannot hold it. ${ADVICE}`,
    { cause },
  );
}

function holdsJson(field: Field): boolean {
  const extension = field.metadata.get("ARROW:extension:name");
  return extension === "lance.json" || (field.type.children ?? []).some((child: Field) => holdsJson(child));
}
