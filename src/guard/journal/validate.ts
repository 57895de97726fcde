import { CorruptError } from "../../errors.ts";
import { assertInnerPath } from "../../fs/names.ts";
import { BackupStrategy } from "../backup-strategy.ts";
import type { EntryRecord } from "./entry-record.ts";

const ID = /^[A-Za-z0-9_.-]+$/;

/** Holds a record that was read from a file to its shape, so that no later step trips over it. */
export function assertEntryRecord(body: unknown, path: string): EntryRecord {
  const corrupt = (why: string) => new CorruptError(`${path} is damaged: ${why}.`, { path });
  if (!isObject(body)) throw corrupt("it holds no record");
  for (const key of ["id", "uuid", "database", "backupPath", "createdAt"]) {
    if (typeof body[key] !== "string") throw corrupt(`"${key}" is no text`);
  }
  if (!ID.test(body["id"] as string)) throw corrupt('"id" is no name');
  const { kind, restore } = body;
  if (kind !== "guarded" && kind !== "explicit" && kind !== "restore") throw corrupt('"kind" is unknown');
  if ((kind === "restore") !== (restore !== undefined)) throw corrupt('"restore" does not fit its kind');
  if (restore !== undefined) assertRestore(restore, path, corrupt);
  if (!Object.values<unknown>(BackupStrategy).includes(body["strategy"]))
    throw corrupt('"strategy" is unknown');
  if (!Array.isArray(body["tables"])) throw corrupt('"tables" is no list');
  for (const table of body["tables"]) assertTable(table, path, corrupt);
  if (body["adopts"] !== undefined) assertAdoption(body["adopts"], path, corrupt);
  const namespaces: unknown = body["namespaces"] ?? [];
  if (!Array.isArray(namespaces)) throw corrupt('"namespaces" is no list');
  for (const namespace of namespaces) {
    const { id, entry, claim } = isObject(namespace) ? namespace : {};
    if (typeof id !== "string" || (entry !== null && !isNamespaceEntry(entry, path)))
      throw corrupt("a namespace has no entry");
    if (claim !== undefined && !isTableId(claim)) throw corrupt("a namespace has no name");
  }
  return body as unknown as EntryRecord;
}

function assertRestore(restore: unknown, path: string, corrupt: (why: string) => CorruptError): void {
  if (!isObject(restore) || typeof restore["backup"] !== "string" || !ID.test(restore["backup"]))
    throw corrupt("a restore names no backup");
  const { kind, onConflict, heads } = restore;
  if (kind !== "guarded" && kind !== "explicit") throw corrupt("a restore names no kind of backup");
  if (onConflict !== "fail" && onConflict !== "overwrite") throw corrupt('"onConflict" is unknown');
  if (!Array.isArray(heads)) throw corrupt('"heads" is no list');
  for (const head of heads) {
    if (!isObject(head) || typeof head["directory"] !== "string") throw corrupt("a head has no directory");
    assertInnerPath(head["directory"], path);
    if (!Number.isSafeInteger(head["version"]) || typeof head["digest"] !== "string")
      throw corrupt("a head has no version");
  }
}

function assertAdoption(adopts: unknown, path: string, corrupt: (why: string) => CorruptError): void {
  const { tables, existing } = isObject(adopts) ? adopts : {};
  if (tables !== null && !(Array.isArray(tables) && tables.every(isTableId)))
    throw corrupt('"adopts" names no tables');
  if (!Array.isArray(existing) || !existing.every((name) => typeof name === "string" && !name.includes("/")))
    throw corrupt('"adopts" names no directories');
  for (const name of existing) assertInnerPath(name, path);
}

function assertTable(table: unknown, path: string, corrupt: (why: string) => CorruptError): void {
  if (!isObject(table) || !isTableId(table["id"])) throw corrupt("a table has no id");
  if (table["state"] === "absent") return;
  if (table["state"] !== "present") throw corrupt(`the state of table ${table["id"]} is unknown`);
  const { directory, version, digest, tags, leftOut } = table;
  if (typeof directory !== "string" || directory.includes("/")) throw corrupt("a table has no directory");
  assertInnerPath(directory, path);
  if (!Number.isSafeInteger(version) || (version as number) < 0) throw corrupt("a version is no number");
  if (typeof digest !== "string" || !/^[0-9a-f]{64}$/.test(digest)) throw corrupt("a digest is no SHA-256");
  if (table["entry"] !== undefined && !isNamespaceEntry(table["entry"], path))
    throw corrupt("a table's entry is none");
  for (const list of [tags, leftOut]) if (!Array.isArray(list)) throw corrupt("a table's lists are missing");
}

function isNamespaceEntry(value: unknown, path: string): boolean {
  if (!isObject(value) || typeof value["object_id"] !== "string" || typeof value["object_type"] !== "string")
    return false;
  const { location, metadata, base_objects: bases } = value;
  if (typeof location === "string") assertInnerPath(location, path);
  return (
    [location, metadata].every((text) => text === null || typeof text === "string") &&
    (bases === null || (Array.isArray(bases) && bases.every((base) => typeof base === "string")))
  );
}

/**
 * An id is also the name of a file and of a lock's directory. Wider than what a caller may name: a backup of
 * every table takes those in namespaces too, where LanceDB allows any name.
 */
function isTableId(value: unknown): value is string {
  return typeof value === "string" && !/^\.{0,2}$|[/\\\0]/.test(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
