import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UnsupportedError, ValidationError } from "../errors.ts";
import { ifThereLater } from "../fs/held-root.ts";
import { isMissing, toIoError } from "../fs/io.ts";
import { localPath, realPath } from "../fs/local-path.ts";
import { assertTableName } from "../fs/safe-names.ts";
import { advice } from "../hint.ts";
import { PRIVATE_DIRECTORY } from "./private-directory.ts";
import {
  idOfDirectory,
  isDataset,
  isHidden,
  isStrayDirectory,
  LISTED,
  NAMESPACE_TABLE,
  NAMESPACED,
} from "./table-directory.ts";

export { NAMESPACE_TABLE } from "./table-directory.ts";

const SEPARATOR = "$";

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
  const path = localPath(uri, "uri");
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
  const id = [...namespacePath, name].join(SEPARATOR);
  assertLength(id);
  return id;
}

/** What is left of a file's name of 255 bytes for a table's id: `.lance` follows it, and in namespaces a hash precedes. */
const MOST_BYTES = { root: 249, inNamespace: 240 };

/** Whether no file system takes a directory named after the id. */
export function isTooLong(id: string): boolean {
  return Buffer.byteLength(id) > (isInNamespace(id) ? MOST_BYTES.inNamespace : MOST_BYTES.root);
}

function assertLength(id: string): void {
  if (!isTooLong(id)) return;
  const name = JSON.stringify(`${id.slice(0, 40)}…`);
  throw new ValidationError(
    `The table name ${name} has ${Buffer.byteLength(id)} bytes, which is longer than a file system allows.`,
  );
}

/** @throws UnsupportedError where a root table is named like the namespaces' own. */
export function assertNamesAreFree(tables: readonly TableLocation[]): void {
  if (tables.some(isNameTaken)) throw takenName();
}

/** Whether a root table is named like the namespaces' own. */
export function isNameTaken({ directory }: TableLocation): boolean {
  return directory === `${NAMESPACE_TABLE}.lance`;
}

function takenName(): UnsupportedError {
  return new UnsupportedError(
    `A table named ${NAMESPACE_TABLE} would clash with LanceDB's own table of that name, in which it keeps namespaces.`,
  );
}

/** Checks an id that a caller or a file gave. */
export function assertTableId(id: unknown): asserts id is string {
  if (typeof id !== "string") throw new TypeError(`A table must be named by a string, not ${typeof id}.`);
  for (const part of id.split(SEPARATOR)) assertTableName(part);
  assertLength(id);
}

export function parseTableId(id: string): { name: string; namespacePath: string[] } {
  const parts = id.split(SEPARATOR);
  return { name: parts.at(-1) ?? id, namespacePath: parts.slice(0, -1) };
}

/** Whether an id is that of a table in a namespace. */
export function isInNamespace(id: string): boolean {
  return id.includes(SEPARATOR);
}

/** Where a root table lies, whether it exists or not; a namespaced one gets a new name at each creation. */
export function rootDirectory(id: string): string | undefined {
  if (id === NAMESPACE_TABLE) return NAMESPACE_TABLE;
  return id.includes(SEPARATOR) ? undefined : `${id}.lance`;
}

/**
 * In a namespace LanceDB takes names with a `/`, and puts such a table into a directory of a directory, where none of
 * our lists finds it. It is never left out in silence.
 *
 * @throws UnsupportedError naming the table.
 */
export async function assertNoneIsNested(database: string): Promise<void> {
  const [table] = await listNested(database);
  if (table === undefined) return;
  throw new UnsupportedError(
    advice`Table ${JSON.stringify(table)} has a "/" in its name, or its namespace has one, and cannot be backed up. Leave it out: name the other tables ${{ options: { tables: null } }}, or it ${{ options: { exclude: null } }}.`,
  );
}

/** The ids of such tables, one for each directory that holds any. */
export async function listNested(database: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await childDirectories(database)) {
    if (!LISTED.test(name) || isStrayDirectory(name) || isDataset(join(database, name))) continue;
    const inner = await datasetBelow(join(database, name));
    const table = NAMESPACED.exec(`${name}/${inner}`)?.[1];
    if (inner !== undefined && table !== undefined) found.push(table);
  }
  return found;
}

async function datasetBelow(directory: string): Promise<string | undefined> {
  for (const name of await childDirectories(directory)) {
    if (isDataset(join(directory, name))) return name;
    const inner = await datasetBelow(join(directory, name));
    if (inner !== undefined) return `${name}/${inner}`;
  }
  return undefined;
}

/**
 * Holds that a place for backups, or for a restored database, lies in no table and in nothing of ours inside a database:
 * it would go with them. By real paths, also where it does not exist yet.
 *
 * @param what the place is, at the beginning of a sentence.
 * @throws ValidationError
 */
export function assertOutsideTables(place: string, what: string): void {
  for (let current = realPath(place); current !== dirname(current); current = dirname(current)) {
    if (basename(current) !== PRIVATE_DIRECTORY && !isDataset(current)) continue;
    throw new ValidationError(
      `${what} ${place} lies in ${current}, inside the database ${dirname(current)}; it would be lost with it. Choose a directory outside.`,
    );
  }
}

/** Every dataset in the database, `__manifest` and the namespaces' tables too, sorted by id. */
export async function listTables(database: string): Promise<TableLocation[]> {
  const directories = (await childDirectories(database)).filter(
    (name) => !isHidden(name) && !isStrayDirectory(name) && isDataset(join(database, name)),
  );
  return directories
    .map((directory) => ({ id: idOfDirectory(directory), directory }))
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** Directories that look like tables and are copies of some, which LanceDB does not open: never in a backup. */
export async function listStrayTables(database: string): Promise<string[]> {
  const names = await childDirectories(database);
  return names.filter((name) => isStrayDirectory(name) && isDataset(join(database, name))).sort();
}

/** Directories that are called as a table's and hold no version: what a creation that was cut off left. LanceDB may list them. */
export async function listUnfinished(database: string): Promise<TableLocation[]> {
  const all = (await childDirectories(database)).filter(
    (name) =>
      !isHidden(name) &&
      !isStrayDirectory(name) &&
      (name.endsWith(".lance") || LISTED.test(name)) &&
      !isDataset(join(database, name)),
  );
  return all.map((directory) => ({ id: idOfDirectory(directory), directory }));
}

/** Directories but the root one that a table's id could mean; leftovers of a killed process among them. */
export async function namespacedDirectories(database: string, id: string): Promise<string[]> {
  const all = await childDirectories(database);
  return all.filter((name) => idOfDirectory(name) === id && name !== rootDirectory(id));
}

async function childDirectories(database: string): Promise<string[]> {
  try {
    const entries = await ifThereLater(database, () => readdir(database, { withFileTypes: true }));
    return (entries ?? [])
      .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
      .map((entry) => entry.name);
  } catch (error) {
    throw toIoError(error, "list", database);
  }
}
