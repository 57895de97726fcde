import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UsageError } from "./failure.ts";

/** A misspelt path must not pass for a database in which there is nothing to do. @throws UsageError */
export function assertDatabase(database: string): void {
  const path = /^file:\/\//i.test(database) && URL.canParse(database) ? fileURLToPath(database) : database;
  if (!existsSync(path)) throw new UsageError(`There is no database at ${path}.`);
  if (!statSync(path).isDirectory()) throw new UsageError(`${path} is a file, not a database's directory.`);
}
