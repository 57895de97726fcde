import { basename, join } from "node:path";
import { CorruptError } from "../../errors.ts";
import type { Owner } from "../../lance/lock/lock-owner.ts";
import { inspectTable } from "../../lance/put-back/table-state.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { ArmedRestore, EntryRecord, OnConflict } from "../journal/entry-record.ts";
import { listEntries, reserveEntry } from "../journal/journal.ts";
import { JournalEntry } from "../journal/journal-entry.ts";
import { keptDirectory } from "../kept-backup.ts";
import { planRollback, type RollbackPlan } from "../rollback/plan-rollback.ts";

/**
 * Plans how every table of a backup gets back to it, whatever came later.
 *
 * @param again a restore of it was cut off
 */
export function planRestore(
  lancedb: LanceDB,
  database: string,
  backupId: string,
  record: EntryRecord,
  onConflict: OnConflict,
  again = false,
): Promise<RollbackPlan> {
  const backup = new JournalEntry(database, backupId);
  return planRollback(lancedb, database, {
    record,
    kept: keptDirectory(backup, record),
    log: backup.readLogIfAny(),
    lastSign: backup.lastSign(),
    onConflict,
    explicit: true,
    again,
  });
}

/**
 * Writes down in the journal that a backup is being restored, before the first table changes. From here on a
 * death means that the restore is finished.
 *
 * @param record the backup's
 */
export async function armRestore(
  database: string,
  owner: Owner,
  backup: { readonly id: string; readonly record: EntryRecord },
  plan: RollbackPlan,
  onConflict: OnConflict,
): Promise<JournalEntry> {
  const { entry, uuid } = await reserveEntry(database, owner, undefined, "restore");
  try {
    const directories = [...directoriesOf(plan), ...plan.drops.map((drop) => drop.directory)];
    const heads = await Promise.all([...new Set(directories)].map((name) => headOf(database, name)));
    const kind = backup.record.kind === "guarded" ? "guarded" : "explicit";
    const restore: ArmedRestore = { backup: backup.id, kind, onConflict, heads };
    const record = { ...backup.record, adopts: undefined };
    await entry.write("armed", { ...record, id: entry.id, uuid, kind: "restore", restore });
    return entry;
  } catch (error) {
    await entry.remove().catch(() => entry.abandon());
    throw error;
  }
}

function directoriesOf({ puts }: RollbackPlan): string[] {
  return puts.map(({ target }) => basename(target.dataset));
}

async function headOf(database: string, directory: string): Promise<ArmedRestore["heads"][number]> {
  const { manifests, headDigest } = await inspectTable(join(database, directory));
  return { directory, version: manifests[0]?.version ?? 0, digest: headDigest ?? "" };
}

/** Restores of a backup that are under way, or were cut off. */
export function findRestores(database: string, backupId: string): JournalEntry[] {
  return listEntries(database).filter((entry) => backupOfRestore(entry) === backupId);
}

/** The backup that an armed restore is of; undefined for anything else, and where its record is damaged. */
export function backupOfRestore(entry: JournalEntry): string | undefined {
  try {
    return entry.isRestore ? entry.read("armed")?.restore?.backup : undefined;
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}
