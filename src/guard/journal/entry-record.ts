import { CorruptError } from "../../errors.ts";
import { isObject } from "../../fs/record.ts";
import { assertInnerPath } from "../../fs/safe-names.ts";
import { WHOLE_DATABASE } from "../../lance/lock/locked-tables.ts";
import type { NamespaceEntry } from "../../lance/namespaces.ts";
import { BackupStrategy } from "../backup-strategy.ts";

/** A table as it was when it was captured. */
export type CapturedTable =
  | {
      readonly id: string;
      readonly state: "present";
      /** Its directory's name inside the database, and inside the backup. */
      readonly directory: string;
      readonly version: number;
      /** SHA-256 of the version's manifest. */
      readonly digest: string;
      readonly versions: readonly number[];
      readonly files: number;
      readonly bytes: number;
      readonly tags: readonly string[];
      readonly leftOut: readonly string[];
      /** For a table in a namespace: what `__manifest` said of it. */
      readonly entry?: NamespaceEntry | undefined;
      /** Where it lay, absolute, if its directory is a symbolic link. */
      readonly link?: string | undefined;
    }
  | {
      readonly id: string;
      readonly state: "absent";
      /** Whether something had its name that is no table. */
      readonly stub?: boolean | undefined;
    };

/** A namespace as it was: it is an entry of `__manifest`, and nothing else. */
export interface CapturedNamespace {
  /** Its path, joined by `$`. */
  readonly id: string;
  /** Null where there was none. */
  readonly entry: NamespaceEntry | null;
  /** The name of its lock, where the guarded work makes or drops it. Otherwise a table that was captured lies in it. */
  readonly claim?: string | undefined;
}

/** Of single-writer work: every commit since the capture is its own, whoever made it. */
export interface Adoption {
  /** In these tables, as they were captured; null: in every table, also those that were made since. */
  readonly tables: readonly string[] | null;
  /** What was there before under a table's name, and holds no version: LanceDB may list it. */
  readonly existing: readonly string[];
}

/** What a journal entry says: everything that is needed to put the tables back. */
export interface EntryRecord {
  readonly id: string;
  readonly uuid: string;
  /**
   * `guarded`: rolled back when its process dies. `explicit`: made with `createBackup`, only listed. `restore`: a
   * `restoreBackup` under way, finished when its process dies.
   */
  readonly kind: "guarded" | "explicit" | "restore";
  readonly strategy: BackupStrategy;
  /** The database directory, absolute. */
  readonly database: string;
  /** Where the files are kept: `<backupDir>/<id>`, or the entry's own directory. */
  readonly backupPath: string;
  /** The stamp of the entry's directory: a copy of the database has this entry too, in another directory. */
  readonly home?: string | undefined;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly tables: readonly CapturedTable[];
  readonly namespaces?: readonly CapturedNamespace[] | undefined;
  /** For `guarded` work alone: a later restore of what was kept of it knows nothing of this. */
  readonly adopts?: Adoption | undefined;
  /** For `restore`; all but id, uuid and kind are the backup's then. */
  readonly restore?: ArmedRestore | undefined;
}

/** What who finishes a restore has to know besides the backup's own record. */
export interface ArmedRestore {
  /** The backup's id. */
  readonly backup: string;
  /** The backup's own. */
  readonly kind: "guarded" | "explicit";
  readonly onConflict: "fail" | "overwrite";
  /** The newest version in each directory that the restore changes, as it was armed; 0: there was none. */
  readonly heads: readonly {
    readonly directory: string;
    readonly version: number;
    readonly digest: string;
  }[];
}

/** What an entry holds back: its tables, and the namespaces that its work makes or drops; or the whole database. */
export function claimsOf({ tables, namespaces = [], adopts }: EntryRecord): string[] {
  const whole = adopts?.tables === null ? [WHOLE_DATABASE] : [];
  return [...whole, ...tables.map((table) => table.id), ...namespaces.flatMap(({ claim }) => claim ?? [])];
}

/** Whether every commit to this table since the capture is the work's own. */
export function isAdopted({ kind, adopts }: EntryRecord, table: string): boolean {
  return kind === "guarded" && adopts !== undefined && (adopts.tables?.includes(table) ?? true);
}

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

export type OnConflict = "fail" | "overwrite";
