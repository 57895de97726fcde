import { CorruptError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
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
  const record = new Fields(body, path, "record");
  record.matching("id", ID, "a name");
  for (const key of ["uuid", "database", "backupPath", "createdAt"]) record.text(key);
  record.oneOf("strategy", Object.values(BackupStrategy));
  const kind = record.oneOf("kind", ["guarded", "explicit", "restore"]);
  const restore = record.optionalObject("restore");
  if ((kind === "restore") !== (restore !== undefined)) record.refuse("restore", "there for a restore alone");
  if (restore) assertRestore(restore, path);
  for (const table of record.objects("tables")) assertTable(table, path);
  const adopts = record.optionalObject("adopts");
  if (adopts) assertAdoption(adopts, path);
  for (const namespace of record.optionalObjects("namespaces") ?? []) {
    namespace.text("id");
    if (!namespace.isNull("entry")) assertNamespaceEntry(namespace.object("entry"), path);
    const claim = namespace.optionalText("claim");
    if (claim !== undefined && !isTableId(claim)) namespace.refuse("claim", "the name of a lock");
  }
  return body as EntryRecord;
}

function assertRestore(restore: Fields, path: string): void {
  restore.matching("backup", ID, "a backup's id");
  restore.oneOf("kind", ["guarded", "explicit"]);
  restore.oneOf("onConflict", ["fail", "overwrite"]);
  for (const head of restore.objects("heads")) {
    assertInnerPath(head.text("directory"), path);
    head.integer("version");
    head.text("digest");
  }
}

function assertAdoption(adopts: Fields, path: string): void {
  if (!adopts.isNull("tables") && !adopts.texts("tables").every(isTableId)) adopts.refuse("tables", "names");
  for (const name of adopts.texts("existing")) assertName(name, path);
}

function assertTable(table: Fields, path: string): void {
  if (!isTableId(table.text("id"))) table.refuse("id", "a table's id");
  if (table.oneOf("state", ["absent", "present"]) === "absent") return;
  assertName(table.text("directory"), path);
  table.count("version");
  table.digest("digest");
  const entry = table.optionalObject("entry");
  if (entry) assertNamespaceEntry(entry, path);
  for (const key of ["tags", "leftOut"]) table.list(key);
}

function assertNamespaceEntry(entry: Fields, path: string): void {
  for (const key of ["object_id", "object_type"]) entry.text(key);
  const location = entry.nullableText("location");
  if (location !== null) assertInnerPath(location, path);
  entry.nullableText("metadata");
  if (!entry.isNull("base_objects")) entry.texts("base_objects");
}

/** Of a directory in the database. */
function assertName(name: string, path: string): void {
  assertInnerPath(name, path);
  if (name.includes("/"))
    throw new CorruptError(`${path} is damaged: ${name} is no directory's name.`, { path });
}

/**
 * An id is also the name of a file and of a lock's directory. Wider than what a caller may name: a backup of
 * every table takes those in namespaces too, where LanceDB allows any name.
 */
function isTableId(value: string): boolean {
  return !/^\.{0,2}$|[/\\\0]/.test(value);
}

export type OnConflict = "fail" | "overwrite";
