import type { Connection } from "@lancedb/lancedb";
import { assertFlag, assertKnown, assertOneOf, assertSignal } from "../../checks.ts";
import { LanceError, ValidationError } from "../../errors.ts";
import { localPath } from "../../fs/local-path.ts";
import { assertTableName } from "../../fs/safe-names.ts";
import type { LanceDBOptions } from "../../lance/which-lancedb.ts";
import { BackupManager } from "../backup-manager.ts";
import { BackupStrategy } from "../backup-strategy.ts";
import type { GuardedWorkOptions } from "../manager-options.ts";
import { existing, findTable, refName, type TableRef, type Target } from "./target-table.ts";

/** What every guarded helper takes. `lancedb` and `connection` are for where no manager is given. */
export interface GuardedOptions extends LanceDBOptions {
  /** How the undo point is kept; see `BackupStrategy`. Default: the manager's, `lance-version` without one. */
  readonly strategy?: BackupStrategy | undefined;
  /** The namespace that the table is in, outermost first. Default: the root. */
  readonly namespacePath?: readonly string[] | undefined;
  /** The manager to work through. Default: a new one for `uri` and `backupDir`. */
  readonly manager?: BackupManager | undefined;
  /** The database, where no manager is given. Default `data/lancedb-table`. */
  readonly uri?: string | undefined;
  /** Where backups go, where no manager is given. Default `data/backups`. */
  readonly backupDir?: string | undefined;
  /** Stops between two steps; what was written is rolled back, and the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** What a rollback does where somebody else has written meanwhile. Default `"fail"`: `ConflictError`. */
  readonly onConflict?: "fail" | "overwrite" | undefined;
  /** Sync what LanceDB wrote before success is reported. Default false: LanceDB itself never syncs. */
  readonly durable?: boolean | undefined;
}

/** The options of every helper, for `checkGuarded`. */
export const GUARDED_OPTIONS: Readonly<Record<keyof GuardedOptions, true>> = {
  strategy: true,
  lancedb: true,
  connection: true,
  namespacePath: true,
  manager: true,
  uri: true,
  backupDir: true,
  signal: true,
  onConflict: true,
  durable: true,
};

/**
 * Checks what all helpers share. @throws ValidationError, TypeError; nothing was touched.
 *
 * @param of the helper's name. @param known its options, `GUARDED_OPTIONS` among them.
 */
export function checkGuarded<T extends GuardedOptions>(
  of: string,
  table: unknown,
  options: T,
  known: Readonly<Record<keyof T, boolean>>,
): TableRef {
  assertKnown(options, of, known);
  assertTableName(table);
  const namespacePath = options.namespacePath ?? [];
  if (!Array.isArray(namespacePath)) throw new TypeError("namespacePath must be an array of names.");
  for (const part of namespacePath) assertTableName(part, "namespace name");
  assertOneOf(options.strategy, "strategy", Object.values(BackupStrategy));
  assertOneOf(options.onConflict, "onConflict", ["fail", "overwrite"]);
  assertSignal(options.signal);
  assertFlag(options.durable, "durable");
  if (options.manager !== undefined && !(options.manager instanceof BackupManager)) {
    throw new TypeError("manager must be a BackupManager.");
  }
  return { name: table, namespacePath };
}

/**
 * The caller's manager, or a new one. Throws `ValidationError` where the manager and `uri` (or `backupDir`)
 * name two places, and where which LanceDB is to be used is said twice.
 */
export function managerFor(options: GuardedOptions): BackupManager {
  const { manager, uri, backupDir, lancedb, connection } = options;
  if (manager === undefined) return new BackupManager({ uri, backupDir, lancedb, connection });
  if (lancedb !== undefined || connection !== undefined) {
    throw new ValidationError("Give lancedb and connection to the manager, where there is one.");
  }
  refuseOther("uri", uri, manager.uri);
  refuseOther("backupDir", backupDir, manager.backupDir);
  return manager;
}

function refuseOther(option: string, given: string | undefined, own: string): void {
  if (given === undefined || localPath(given, option) === localPath(own, option)) return;
  throw new ValidationError(
    `The option ${option} is ${given}, but the manager's is ${own}; give one of them.`,
  );
}

/**
 * The options for `withBackup`. The table is named, so that it is locked before the work looks at it:
 * locked at its first write only, two upserts of one new key would both insert it.
 */
export function guardOptions(ref: TableRef, options: GuardedOptions): GuardedWorkOptions {
  const { signal, onConflict, durable } = options;
  return { tables: [refName(ref)], signal, onConflict, durable };
}

/** A first look at the table, before it is locked. */
export interface Look {
  readonly connection: Connection;
  /** Undefined where the table does not exist. */
  readonly target: Target | undefined;
}

/**
 * Looks at the table as it is when what a dead process left half-done is undone, and its newest manifest,
 * where a power cut damaged it, is set aside: what the rows are checked against must be what they are
 * written to. Throws `LanceError` where the table does not open even so.
 */
export async function lookAt(manager: BackupManager, ref: TableRef, options: GuardedOptions): Promise<Look> {
  const { signal } = options;
  const connection = await manager.connection();
  try {
    return { connection, target: await findTable(connection, ref, signal) };
  } catch (error) {
    if (!(error instanceof LanceError)) throw error;
    // Capturing a table heals it where it can be healed.
    await manager.withBackup(options.strategy, async () => undefined, guardOptions(ref, options));
    return { connection, target: await findTable(connection, ref, signal) };
  }
}

/** The same, for a table that must exist: throws `ValidationError` where it does not. */
export async function lookAtExisting(
  manager: BackupManager,
  ref: TableRef,
  options: GuardedOptions,
): Promise<Look & { target: Target }> {
  const { connection, target } = await lookAt(manager, ref, options);
  return { connection, target: existing(target, ref) };
}
