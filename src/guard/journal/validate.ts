import { CorruptError } from "../../errors.ts";
import { assertInnerPath } from "../../fs/names.ts";
import { BackupStrategy } from "../strategy.ts";
import type { EntryRecord } from "./entry.ts";

const ID = /^[A-Za-z0-9_.-]+$/;

/** Holds a record that was read from a file to its shape, so that no later step trips over it. */
export function assertEntryRecord(body: unknown, path: string): EntryRecord {
  const corrupt = (why: string) => new CorruptError(`${path} is damaged: ${why}.`, { path });
  if (!isObject(body)) throw corrupt("it holds no record");
  for (const key of ["id", "uuid", "database", "backupPath", "createdAt"]) {
    if (typeof body[key] !== "string") throw corrupt(`"${key}" is no text`);
  }
  if (!ID.test(body["id"] as string)) throw corrupt('"id" is no name');
  if (body["kind"] !== "guarded" && body["kind"] !== "explicit") throw corrupt('"kind" is unknown');
  if (!Object.values<unknown>(BackupStrategy).includes(body["strategy"]))
    throw corrupt('"strategy" is unknown');
  if (!Array.isArray(body["tables"])) throw corrupt('"tables" is no list');
  for (const table of body["tables"]) assertTable(table, path, corrupt);
  return body as unknown as EntryRecord;
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
  for (const list of [tags, leftOut]) if (!Array.isArray(list)) throw corrupt("a table's lists are missing");
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
