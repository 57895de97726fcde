import { assertKey } from "../../arrow/row-key.ts";
import { ValidationError } from "../../errors.ts";
import { assertTableId } from "../../lance/database.ts";
import { assertFilterable, assertMergeable } from "../../lance/row-delta/assert-usable.ts";
import type { BackupFileReader, TableReader } from "../file/types.ts";

/**
 * Holds what a file says of a table to what can be written: a name that stays in the database, a key that
 * there is, and by which LanceDB can put in and delete what the file has.
 *
 * @throws ValidationError naming the file.
 */
export function checkTable(file: BackupFileReader, { head, upserts, deletes }: TableReader): void {
  const { table, form, schema, key } = head;
  try {
    assertTableId(table);
    if (form === "changes" && schema) {
      assertKey(table, schema, key);
      if (upserts > 0) assertMergeable(table, schema, key);
      if (deletes > 0) assertFilterable(table, schema, key);
    }
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    throw new ValidationError(`${file.path}: ${error.message}`, { cause: error });
  }
  if (form !== "dropped" && (schema === undefined || schema.fields.length === 0)) {
    throw new ValidationError(`${file.path}: the table ${table} has no columns.`);
  }
  if ((form === "dropped" && upserts + deletes > 0) || (form !== "changes" && deletes > 0)) {
    throw new ValidationError(
      `${file.path}: the table ${table} is ${form}, and holds rows that it must not.`,
    );
  }
}
