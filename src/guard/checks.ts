import { describe } from "../checks.ts";
import { ValidationError } from "../errors.ts";
import { assertTableId } from "../lance/database.ts";

// What the guard's callers pass; the rest is in ../checks.ts.

export function assertOnConflict(value: unknown, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value as string)) {
    throw new ValidationError(
      `onConflict must be "${allowed.join('" or "')}", not ${JSON.stringify(value) ?? describe(value)}.`,
    );
  }
}

export function assertAdopt(value: unknown): asserts value is "own" | "all" | undefined {
  if (value === undefined || value === "own" || value === "all") return;
  throw new ValidationError(`adopt must be "own" or "all", not ${JSON.stringify(value) ?? describe(value)}.`);
}

export function assertTables(tables: unknown): asserts tables is readonly string[] | undefined {
  if (tables === undefined) return;
  if (!Array.isArray(tables))
    throw new TypeError(`tables must be an array of names, not ${describe(tables)}.`);
  for (const table of tables) assertTableId(table);
}

export function assertBackupId(id: unknown): asserts id is string {
  if (typeof id !== "string") throw new TypeError(`A backup's id must be a string, not ${describe(id)}.`);
  if (!/^[A-Za-z0-9_-]+$/.test(id)) throw new ValidationError(`${JSON.stringify(id)} is not a backup's id.`);
}
