import { types } from "node:util";
import { assertFlag, assertKnown, assertMilliseconds, assertOneOf, assertSignal } from "../../../checks.ts";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import type { OnProgress } from "../../../engine/progress.ts";
import { UnsupportedError, ValidationError } from "../../../errors.ts";
import { localPath, placeWithin } from "../../../fs/local-path.ts";
import { assertTableName } from "../../../fs/safe-names.ts";
import { isInNamespace } from "../../../lance/database.ts";
import type { LanceDB } from "../../../lance/which-lancedb.ts";
import type { Logger } from "../../../logger.ts";

/** Which tables of a snapshot, and which versions of them. */
export interface Selection {
  /** Ids of tables. Default: all. With a table in a namespace comes the list of namespaces. */
  tables?: readonly string[] | undefined;
  /**
   * A moment: of each table the newest version that is not younger, by the clock that committed it. A table that
   * has none is left out, and named in the report. Default: the newest in the snapshot.
   */
  at?: Date | undefined;
  /** Versions by the table's id; goes before `at`. Older versions come along as its history. */
  versions?: Readonly<Record<string, bigint | number>> | undefined;
}

export interface RestoreOptions extends Selection {
  /**
   * Other names for tables, by their ids in the snapshot: in place a table comes beside the live one so, which stays as it is. Those alone are
   * restored then, unless `tables` names others too. Root tables only; no table may have the name,
   * but one that is just that already, from a restore that was cut off: it stays.
   */
  as?: Readonly<Record<string, string>> | undefined;
  /** A local directory, as a path or a `file:` address. */
  target: string;
  /**
   * Of which database the snapshot is to be, by its id or its directory. Default, where the repository has several: in
   * place the target itself; else it must be said.
   */
  source?: string | undefined;
  /**
   * `new`: the target is missing or an empty directory, and appears whole, or not at all. `in-place`: it is a
   * database, and each table goes back as a new commit. History stays, version numbers never go backwards, tables
   * that are gone come back, tables made since are left alone. Default `new`.
   */
  mode?: "new" | "in-place" | undefined;
  /**
   * Give the target's files the blobs' own bodies, by hard links, in no time and no space: for the same local file
   * system, `new` only. What then changes a file behind LanceDB's back, or a failing disk, reaches the repository
   * too, and the files stay read-only. Default false.
   */
  link?: boolean | undefined;
  /**
   * Compare the digest of each file as it is written. Default true; without, a damaged blob of the right size is
   * restored as it is.
   */
  verify?: boolean | undefined;
  /** Worker threads, or for a storage elsewhere reads at a time. Default 4. Of files beside LanceDB: reads at a time, each of up to 16 MiB; default 3. */
  parallel?: number | undefined;
  /** Only check and report: nothing is written. */
  dryRun?: boolean | undefined;
  /** In place: how long to wait for guarded writes to end, in milliseconds. Default 30,000. */
  lockTimeoutMs?: number | undefined;
  /** Until the target gets its name, an abort leaves it as it was. In place it takes effect between tables. */
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** @throws ValidationError, TypeError */
export function assertSelection({ tables, at, versions }: Selection): void {
  if (tables !== undefined && !(Array.isArray(tables) && tables.every((id) => typeof id === "string"))) {
    throw new TypeError("tables must be an array of ids.");
  }
  if (tables?.length === 0) throw new ValidationError("tables is empty: name one at least, or leave it out.");
  if (at !== undefined && !types.isDate(at)) throw new TypeError("at must be a Date.");
  if (at !== undefined && Number.isNaN(at.getTime())) throw new ValidationError("at is no valid time.");
  if (versions === undefined) return;
  if (typeof versions !== "object" || versions === null || Array.isArray(versions)) {
    throw new TypeError("versions must be an object: a version by the table's id.");
  }
  for (const [id, version] of Object.entries(versions)) {
    if (typeof version !== "bigint" && typeof version !== "number") {
      throw new TypeError(`The version of table ${id} must be a number or a bigint.`);
    }
    if (typeof version === "number" && !Number.isSafeInteger(version)) {
      throw new ValidationError(`${version} is not a version of table ${id}.`);
    }
  }
}

/** @throws ValidationError, TypeError */
function assertOtherNames({ as, tables }: Pick<RestoreOptions, "as" | "tables">): void {
  if (as === undefined) return;
  if (typeof as !== "object" || as === null || Array.isArray(as)) {
    throw new TypeError("as must be an object: a new name by the table's id.");
  }
  const names = Object.values(as);
  if (names.length === 0) throw new ValidationError("as is empty: name one table at least, or leave it out.");
  for (const [id, name] of Object.entries(as)) {
    if (isInNamespace(id)) {
      throw new ValidationError(`Table ${id} is in a namespace: only root tables can get another name.`);
    }
    assertTableName(name);
    if (tables && !tables.includes(id))
      throw new ValidationError(
        `A new name is given for table ${id}, which is not one of the tables to restore.`,
      );
  }
  const twice = names.find(
    (name, index) => names.findIndex((one) => one.toLowerCase() === name.toLowerCase()) < index,
  );
  if (twice !== undefined) throw new ValidationError(`Two tables are to be named ${twice}.`);
}

/** With `as` alone, those tables. */
export function withNamedTables<O extends Pick<RestoreOptions, "as" | "tables">>(options: O): O {
  if (options?.as === undefined || options.tables !== undefined) return options;
  assertOtherNames(options);
  return { ...options, tables: Object.keys(options.as) };
}

/**
 * Holds options to their types, and answers with the target's absolute path.
 *
 * @throws ValidationError, UnsupportedError, TypeError. Nothing has been touched.
 */
export function checkRestoreOptions(options: RestoreOptions, blobs: BlobStore): string {
  assertKnown(options, "restore", {
    target: true,
    tables: true,
    as: true,
    at: true,
    versions: true,
    source: true,
    mode: true,
    link: true,
    verify: true,
    parallel: true,
    dryRun: true,
    lockTimeoutMs: true,
    signal: true,
    onProgress: true,
  });
  const { mode = "new", link = false, parallel } = options;
  const target = localPath(options.target, "target");
  assertSelection(options);
  assertOtherNames(options);
  assertOneOf(mode, "mode", ["new", "in-place"]);
  for (const key of ["link", "verify", "dryRun"] as const) assertFlag(options[key], key);
  assertParallel(parallel);
  assertMilliseconds(options.lockTimeoutMs, "lockTimeoutMs");
  assertSignal(options.signal);
  if (link && mode === "in-place") {
    throw new ValidationError(
      "link is for new databases: a live one does not share its files with the repository.",
    );
  }
  if (link && !blobs.local) {
    throw new UnsupportedError(
      `link needs a repository in a local directory, whose blobs are plain files; this one is at ${blobs.storage.location}.`,
    );
  }
  return target;
}

/** @throws ValidationError where a target lies in the repository, or is a database that the repository lies in. */
export function assertApart(target: string, { storage }: BlobStore): void {
  const directory = storage.local?.root;
  if (directory === undefined) return;
  if (placeWithin(target, directory) !== undefined)
    throw new ValidationError(`The target ${target} lies in the repository ${directory}.`);
  if (placeWithin(directory, target) !== undefined)
    throw new ValidationError(`The repository ${directory} lies in the target ${target}.`);
}

export interface RestoredTable {
  readonly id: string;
  /** Its id in the snapshot, where it was given another. */
  readonly original?: string | undefined;
  /** Its directory's name inside the database. */
  readonly directory: string;
  /** The version of the snapshot that it shows. */
  readonly restoredVersion: number;
  /** Rows of that version. */
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
  /**
   * `create`: it is new. In place: `keep`: it showed that version. `restore`: the version was there, and is the newest
   * again. `relink`: its files came back first. `rebuild`: there was no table. `merge`: the list of namespaces, which
   * got entries that it lacked.
   */
  readonly action: "create" | "keep" | "restore" | "relink" | "rebuild" | "merge";
  /** Its newest version now; in place unknown before it is done. */
  readonly version: number | undefined;
  /**
   * In place: others' versions, which are behind the newest now. `checkout` reaches them by number; where the table had
   * been made anew, versions that came back have their numbers first, and a manifest that had such a number is kept in
   * `.lancedb-backup/aside/manifests`.
   */
  readonly passedOver: readonly number[];
}

export interface RestoreContext {
  readonly blobs: BlobStore;
  readonly logger: Logger;
  readonly lancedb: LanceDB;
  /** What could be known to be missing when the snapshot was chosen. */
  readonly leftOut?: readonly LeftOut[] | undefined;
}

/** Something of the snapshot, or of the database that it was made of, that is not restored. */
export interface LeftOut {
  /** The table's id. */
  readonly table: string;
  readonly what: string;
}

export function assertParallel(parallel: number | undefined): void {
  if (parallel === undefined || (Number.isSafeInteger(parallel) && parallel > 0)) return;
  throw new ValidationError(`parallel must be a positive integer, not ${String(parallel)}.`);
}
