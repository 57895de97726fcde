import { join } from "node:path";
import { BackupError, ConflictError, CorruptError, LockedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { advice } from "../../hint.ts";
import { listTables } from "../../lance/database.ts";
import { type HealedHead, healDamagedHead } from "../../lance/heal-head.ts";
import { describeOwner } from "../../lance/lock/lock-owner.ts";
import type { LockSet } from "../../lance/lock/lock-set.ts";
import { freeLocks, WHOLE_DATABASE } from "../../lance/lock/locked-tables.ts";
import { removeDeadStaging } from "../../lance/private-directory.ts";
import { inspectTable } from "../../lance/put-back/table-state.ts";
import { listEntries } from "../journal/journal.ts";
import type { JournalEntry } from "../journal/journal-entry.ts";
import type { Settings } from "../manager-options.ts";
import { backupOfRestore } from "../restore/arm-restore.ts";
import { recoveryConflict } from "../rollback/roll-back-tables.ts";
import {
  type RecoveredEntry,
  type RecoveryAction,
  type RecoverySettings,
  removeDeadEntry,
  rollBackDead,
} from "./roll-back-dead.ts";

type RecoveredOn = Omit<RecoverySettings, "onConflict" | "force">;

/** As whatever touches a table recovers it: nobody has said that more may be done. */
const CAREFUL = { onConflict: "fail", force: false } as const;

/** Recovers every entry of the journal; one that cannot be does not hold up the others. */
export async function recoverAll(settings: RecoverySettings): Promise<RecoveredEntry[]> {
  const report = await recoverEntries(listEntries(settings.database), settings);
  if (settings.force) await freeLocks(settings.database);
  await removeDeadStaging(settings.database).catch((error: unknown) => {
    const reason = reasonOf(error);
    settings.logger.warn("not everything that dead processes left could be removed", { error: reason });
  });
  return report;
}

/** Recovers these entries; one that cannot be does not hold up the others. */
export async function recoverEntries(
  entries: readonly JournalEntry[],
  settings: RecoverySettings,
): Promise<RecoveredEntry[]> {
  const report: RecoveredEntry[] = [];
  for (const entry of entries) report.push(await recoverEntry(entry, settings));
  return report;
}

/**
 * Recovers what dead operations left on tables that are about to be restored; their locks must be held. What
 * cannot be rolled back waits on: the restore may be the way out of it.
 *
 * @throws the reason where another restore was cut off and cannot be finished: it would go over this one later.
 */
export async function recoverBeforeRestore(tables: readonly string[], on: RecoveredOn): Promise<void> {
  const { locks, logger } = on;
  const holds = (table: string) => locks.holds(table) || locks.isHeldByParent(table);
  for await (const { entry, error } of recoverOn(tables, on)) {
    if (entry.isRestore && entry.state === "armed") throw error;
    if (error instanceof LockedError && !tables.every(holds)) throw error;
    logger.warn("an entry of the journal needs attention", { backup: entry.id, error: error.message });
  }
}

/**
 * Makes sure that no dead operation still has a claim on a table; its lock must be held.
 *
 * @throws ConflictError, CorruptError or LockedError where the table has to be looked at first.
 */
export async function recoverTable(table: string, on: RecoveredOn, except: string): Promise<void> {
  for await (const { entry, error } of recoverOn([table], on, except)) {
    if (entry.state === "armed" || error instanceof LockedError) throw error;
    on.logger.warn("a finished backup could not be removed", { backup: entry.id });
  }
}

/** Recovers the entries that have a claim on one of the tables; yields those that could not be. */
async function* recoverOn(
  tables: readonly string[],
  on: RecoveredOn,
  except?: string,
): AsyncGenerator<{ readonly entry: JournalEntry; readonly error: BackupError }> {
  const settings = { ...on, ...CAREFUL };
  for (const entry of listEntries(settings.database)) {
    if (entry.id === except) continue;
    const isConcerned = claimsOf(entry, settings).some((id) => id === WHOLE_DATABASE || tables.includes(id));
    const { error } = isConcerned ? await recoverEntry(entry, settings) : {};
    if (error) yield { entry, error };
  }
}

/** The tables that an entry captured. One whose list cannot be read holds up nobody. */
function claimsOf(entry: JournalEntry, { logger }: RecoverySettings): string[] {
  try {
    return entry.claims();
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    logger.warn("an entry of the journal needs attention", { backup: entry.id, error: error.message });
    return [];
  }
}

async function recoverEntry(entry: JournalEntry, settings: RecoverySettings): Promise<RecoveredEntry> {
  const { id } = entry;
  let backup: string | undefined;
  const result = (action: RecoveryAction, more: Partial<RecoveredEntry> = {}): RecoveredEntry => ({
    id,
    action,
    ...(backup === undefined ? {} : { backup }),
    tables: [],
    conflicts: [],
    ...more,
  });
  try {
    backup = backupOfRestore(entry);
    // First whose it is, then its state: an owner names the state before it gives the entry up.
    const life = await entry.liveness();
    const state = entry.state;
    if (state === "held") return result("held");
    if (life === "alive") return result("active");
    if (!entry.exists()) return result("swept"); // its owner has just done so
    if (life === "unknown" && !settings.force) return result("locked", { error: lockedError(entry) });
    if (state === "armed") return await rollBackDead(entry, settings, result);
    await removeDeadEntry(entry, settings);
    settings.logger.info("leftovers of a dead operation removed", { backup: id, state });
    return result("swept");
  } catch (error) {
    if (error instanceof ConflictError) {
      const told = entry.isRestore ? error : recoveryConflict(error, id, settings.database);
      return result("conflict", { conflicts: error.conflicts, error: told });
    }
    if (error instanceof CorruptError) return result("damaged", { error });
    if (error instanceof LockedError) return result("locked", { error });
    if (error instanceof BackupError) return result("failed", { error });
    throw error;
  }
}

function lockedError(entry: JournalEntry): LockedError {
  const owner = entry.readOwner()?.owner;
  return new LockedError(
    advice`The journal entry ${entry.directory} belongs to ${owner ? describeOwner(owner) : "nobody"}. It cannot be known from here whether it is alive. If it is not: ${{ call: "recover", database: entry.database, options: { force: true } }}.`,
  );
}

export interface UnreadableTable {
  readonly table: string;
  readonly error: BackupError;
}

export interface HealedHeads {
  /** Tables whose newest manifest was damaged, and the version at which they open now. */
  readonly healed: readonly (HealedHead & { readonly table: string })[];
  /** Tables whose newest manifest is damaged, and that could not be brought to an older version. */
  readonly unreadable: readonly UnreadableTable[];
}

/** Looks at every table's newest manifest: for `recover()`, since it costs a read a table. */
export async function healHeads(
  { lancedb, database, logger }: Pick<Settings, "lancedb" | "database" | "logger">,
  locks: LockSet,
): Promise<HealedHeads> {
  const healed: (HealedHead & { table: string })[] = [];
  const unreadable: UnreadableTable[] = [];
  for (const { id, directory } of await listTables(database)) {
    const dataset = join(database, directory);
    if ((await inspectTable(dataset)).damaged.length === 0) continue;
    try {
      await locks.acquire(id);
      const result = await healDamagedHead(lancedb, database, dataset);
      if (result) {
        healed.push({ table: id, ...result });
        logger.warn("a damaged newest manifest was moved aside", { table: id, ...result });
      }
    } catch (error) {
      if (!(error instanceof BackupError) || error instanceof LockedError) throw error;
      unreadable.push({ table: id, error });
      logger.error("a table's newest version is damaged, and no other could be made its newest", {
        table: id,
        error: error.message,
      });
    } finally {
      locks.releaseAll();
    }
  }
  return { healed, unreadable };
}
