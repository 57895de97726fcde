import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UnsupportedError, ValidationError } from "../errors.ts";
import { isMissing, toIoError } from "../fs/io.ts";
import { assertTableName } from "../fs/names.ts";
import { isDataset } from "./capture.ts";

/** The dataset in which LanceDB keeps namespaces; it is captured and put back like a table. */
export const NAMESPACE_TABLE = "__manifest";

const SEPARATOR = "$";
const NAMESPACED = /^[0-9a-f]{8}_(.+)$/;

/** A table of a database: what it is called and where it lies. */
export interface TableLocation {
  /** Namespace path and name joined by `$`, as LanceDB does; the name alone for a root table. */
  readonly id: string;
  /** Its directory's name inside the database directory. */
  readonly directory: string;
}

/**
 * The absolute path of a local database.
 *
 * @throws UnsupportedError for object stores and LanceDB Cloud.
 * @throws ValidationError where the path names something that is no directory.
 */
export async function databasePath(uri: string): Promise<string> {
  if (typeof uri !== "string") throw new TypeError("uri must be a string.");
  if (uri.trim() === "" || uri.includes("\0")) throw new ValidationError("uri must name a directory.");
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(uri) && !uri.startsWith("file://")) {
    throw new UnsupportedError(`${uri} is not a local directory; guarded writes need one.`);
  }
  const path = uri.startsWith("file://") ? fileURLToPath(uri) : resolve(uri);
  try {
    if (!(await stat(path)).isDirectory())
      throw new ValidationError(`${path} is a file, not a database directory.`);
  } catch (error) {
    if (!isMissing(error)) throw toIoError(error, "read", path);
  }
  return path;
}

/**
 * The id of a table: `["ns"]` and `t` make `ns$t`.
 *
 * @throws UnsupportedError for a root table that is named like the namespaces' own.
 */
export function tableId(name: string, namespacePath: readonly string[] = []): string {
  for (const part of namespacePath) assertTableName(part, "namespace");
  assertTableName(name);
  if (name === NAMESPACE_TABLE && namespacePath.length === 0) throw takenName();
  return [...namespacePath, name].join(SEPARATOR);
}

/** @throws UnsupportedError where a root table is named like the namespaces' own. */
export function assertNamesAreFree(tables: readonly TableLocation[]): void {
  if (tables.some(({ directory }) => directory === `${NAMESPACE_TABLE}.lance`)) throw takenName();
}

function takenName(): UnsupportedError {
  return new UnsupportedError(
    `A table named ${NAMESPACE_TABLE} cannot be told from LanceDB's own of that name, in which it keeps namespaces.`,
  );
}

/** Checks an id that a caller or a file gave. */
export function assertTableId(id: unknown): asserts id is string {
  if (typeof id !== "string") throw new TypeError(`A table must be named by a string, not ${typeof id}.`);
  for (const part of id.split(SEPARATOR)) assertTableName(part);
}

export function parseTableId(id: string): { name: string; namespacePath: string[] } {
  const parts = id.split(SEPARATOR);
  return { name: parts.at(-1) ?? id, namespacePath: parts.slice(0, -1) };
}

function idOfDirectory(directory: string): string {
  if (directory.endsWith(".lance")) return directory.slice(0, -".lance".length);
  return NAMESPACED.exec(directory)?.[1] ?? directory;
}

/** Where a root table lies, whether it exists or not; a namespaced one gets a new name at each creation. */
export function rootDirectory(id: string): string | undefined {
  if (id === NAMESPACE_TABLE) return NAMESPACE_TABLE;
  return id.includes(SEPARATOR) ? undefined : `${id}.lance`;
}

/** Every dataset in the database, `__manifest` and the namespaces' tables too, sorted by id. */
export async function listTables(database: string): Promise<TableLocation[]> {
  const directories = (await childDirectories(database)).filter((name) => isDataset(join(database, name)));
  return directories
    .map((directory) => ({ id: idOfDirectory(directory), directory }))
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** The directories that a namespaced table's id could mean; leftovers of a killed process among them. */
export async function namespacedDirectories(database: string, id: string): Promise<string[]> {
  const all = await childDirectories(database);
  return all.filter((name) => NAMESPACED.exec(name)?.[1] === id);
}

async function childDirectories(database: string): Promise<string[]> {
  try {
    const entries = await readdir(database, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
      .map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", database);
  }
}
