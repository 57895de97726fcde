import type { Connection } from "@lancedb/lancedb";
import { assertFlag, assertKnown, assertOneOf, assertSignal } from "../../checks.ts";
import { LanceError, ValidationError } from "../../errors.ts";
import { localPath } from "../../fs/local-path.ts";
import { assertTableName } from "../../fs/safe-names.ts";
import type { LanceDBOptions } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import { BackupManager } from "../backup-manager.ts";
import { BackupStrategy } from "../backup-strategy.ts";
import type { GuardedWork } from "../manager-options.ts";
import { callLance, findTable, refName, type TableRef, type Target } from "./target-table.ts";

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
function managerFor(options: GuardedOptions): BackupManager {
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

/** A first look at the table, before it is locked. */
export interface Look {
  readonly connection: Connection;
  /** Undefined where the table does not exist. */
  readonly target: Target | undefined;
}

/** One call of a helper: its table, its manager, and what it does with both. */
export class HelperCall {
  readonly ref: TableRef;
  /** The table's id: its name, after its namespaces. */
  readonly id: string;
  readonly manager: BackupManager;
  readonly signal: AbortSignal | undefined;
  readonly #options: GuardedOptions;
  readonly #started = performance.now();

  /** @throws ValidationError as `managerFor`. */
  constructor(ref: TableRef, options: GuardedOptions) {
    this.ref = ref;
    this.id = refName(ref);
    this.manager = managerFor(options);
    this.signal = options.signal;
    this.#options = options;
  }

  get logger(): Logger {
    return this.manager.logger;
  }

  /** Calls LanceDB, as `callLance`. */
  lance<T>(action: string, work: () => Promise<T>): Promise<T> {
    return callLance(action, this.signal, work);
  }

  find(db: Connection): Promise<Target | undefined> {
    return findTable(db, this.ref, this.signal);
  }

  /** Throws `ValidationError` where the table does not exist. */
  async require(db: Connection): Promise<Target> {
    return this.#existing(await this.find(db));
  }

  /**
   * Looks at the table as it is when what a dead process left half-done is undone, and its newest manifest,
   * where a power cut damaged it, is set aside: what the rows are checked against must be what they are
   * written to. Throws `LanceError` where the table does not open even so.
   */
  async look(): Promise<Look> {
    const connection = await this.manager.connection();
    try {
      return { connection, target: await this.find(connection) };
    } catch (error) {
      if (!(error instanceof LanceError)) throw error;
      await this.run(async () => undefined); // capturing a table heals it where it can be healed
      return { connection, target: await this.find(connection) };
    }
  }

  /** The same, for a table that must exist: throws `ValidationError` where it does not. */
  async lookAtExisting(): Promise<Look & { target: Target }> {
    const { connection, target } = await this.look();
    return { connection, target: this.#existing(target) };
  }

  /**
   * Runs guarded work. The table is named, so that it is locked before the work looks at it: locked at its first write
   * only, two upserts of one new key would both insert it.
   */
  run<T>(work: GuardedWork<T>): Promise<T> {
    const { strategy, onConflict, durable } = this.#options;
    const options = { tables: [this.id], signal: this.signal, onConflict, durable };
    return this.manager.withBackup(strategy, work, options);
  }

  /** Notes what the call has done. */
  tell(message: string, done: object): void {
    const ms = Math.round(performance.now() - this.#started);
    this.logger.info(message, { table: this.id, ...done, ms });
  }

  #existing(target: Target | undefined): Target {
    if (target === undefined) throw new ValidationError(`There is no table "${this.id}".`);
    return target;
  }
}
