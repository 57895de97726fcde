import type { Field } from "apache-arrow";
import { ValidationError } from "../errors.ts";
import { fieldsIn } from "./column.ts";

/**
 * The names that lead to a column, from the outermost on: one for a column of the table, several for a field of a
 * struct. A name may itself hold a dot.
 */
export type ColumnPath = readonly string[];

/**
 * The column that a text names among these fields. LanceDB states an index's column as `` s.`odd name` ``, older
 * ones as `s.odd name`, and takes both; so the fields tell what is meant. A column of the very name comes first.
 * Undefined where there is none.
 */
export function resolveColumn(text: string, fields: readonly Field[]): ColumnPath | undefined {
  for (const field of fields) if (text === field.name) return [field.name];
  for (const field of fields) {
    for (const form of [quoted(field.name), field.name]) {
      if (text === form) return [field.name];
      if (!text.startsWith(`${form}.`)) continue;
      const inner = resolveColumn(text.slice(form.length + 1), fieldsIn(field.type));
      if (inner) return [field.name, ...inner];
    }
  }
  return undefined;
}

/** Whether two texts name the same column, as far as that can be told without the table's fields. */
export function isSameColumn(one: string, other: string): boolean {
  return one === other || unquoted(one) === unquoted(other);
}

/** A column as LanceDB's filters and selections take it. @throws ValidationError for a name that they do not take. */
export function quoteColumn(column: string | ColumnPath): string {
  const path = typeof column === "string" ? [column] : column;
  const bad = path.find((name) => name.includes("`") || name === "");
  if (bad === undefined) return path.map(quoted).join(".");
  throw new ValidationError(
    `LanceDB cannot filter by the column ${JSON.stringify(bad)}: it is empty, or holds a backtick.`,
  );
}

/** A column as `createIndex` takes it; quoted only where the plain text could mean another one. */
export function indexColumn(path: ColumnPath): string {
  return path.map((name) => (/[.`]/.test(name) ? quoted(name) : name)).join(".");
}

/** A string as a literal. Only quotes need care: backslashes, newlines and NUL stand for themselves. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function quoted(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}

function unquoted(text: string): string {
  return text.replace(/`((?:[^`]|``)*)`/g, (_whole, name: string) => name.replaceAll("``", "`"));
}
