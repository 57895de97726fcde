import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ValidationError } from "../../errors.ts";
import { NAMESPACE_TABLE } from "../../lance/database.ts";
import type { Capture, Source } from "../source.ts";

/**
 * A wrong directory has no table in it, as an empty database has none: its snapshots would pass for backups, and
 * retention rules would count them.
 *
 * @throws ValidationError where there is no table.
 */
export function assertTables(
  { tables, leftOut = [] }: Capture,
  { uri, type }: Source,
  allowEmpty = false,
): void {
  const isNone = tables.every(({ id }) => id === NAMESPACE_TABLE) && leftOut.length > 0;
  if ((tables.length > 0 && !isNone) || allowEmpty) return;
  if (isNone) {
    const list = leftOut.map(({ table, what }) => `${table}: ${what}`).join("; ");
    throw new ValidationError(
      `Every table of ${uri} is left out, so no snapshot was made (${list}). Where that is meant, set allowEmpty.`,
    );
  }
  const hint = type === "lancedb" ? whatItIs(uri) : "";
  throw new ValidationError(
    `There is no table in ${uri}, so no snapshot was made.${hint} Where it is meant to be empty, set allowEmpty.`,
  );
}

function whatItIs(uri: string): string {
  if (existsSync(join(uri, "repository.json"))) return " It is a repository, not a database.";
  if (basename(uri).endsWith(".lance") || existsSync(join(uri, "_versions"))) {
    return ` It is the directory of a table; its database is ${dirname(uri)}.`;
  }
  return " Is it the directory that LanceDB's connect is given?";
}
