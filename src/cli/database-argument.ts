import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { reasonOf } from "../fs/io.ts";
import { UsageError } from "./usage-error.ts";

/** Absolute; a database is named by a path or a `file:///` address. @throws UsageError */
export function pathOf(database: string): string {
  if (!/^file:/i.test(database)) return resolve(database);
  try {
    return resolve(fileURLToPath(database));
  } catch (error) {
    const reason = reasonOf(error);
    throw new UsageError(`${database} names no directory: ${reason}.`);
  }
}

/** A misspelt path must not pass for a database in which there is nothing to do. @throws UsageError */
export function assertDatabase(database: string): void {
  const path = pathOf(database);
  if (!existsSync(path)) throw new UsageError(`There is no database at ${path}.`);
  if (!statSync(path).isDirectory()) throw new UsageError(`${path} is a file, not a database's directory.`);
}
