import { basename, join } from "node:path";
import {
  BackupError,
  ConflictError,
  type ConflictingVersions,
  CorruptError,
  LanceError,
} from "../../errors.ts";
import { listManifests } from "../../lance/image.ts";
import { hasShown } from "../../lance/put-back/shown.ts";
import { digestOfVersion } from "../../lance/version-identity.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import type { ArmedRestore, EntryRecord } from "../journal/entry-record.ts";
import type { JournalEntry } from "../journal/journal-entry.ts";
import { sweepEntry } from "../kept-backup.ts";
import { conflictsOf, type DropPlan, type OnConflict, type RollbackPlan } from "../rollback/plan-rollback.ts";
import { carryOut, type TableRestore } from "../rollback/roll-back-tables.ts";
import { returnTaken } from "../rollback/set-aside.ts";
import { planRestore } from "./arm-restore.ts";

export interface CompletedRestore {
  /** `kept`: given up, as `onConflict: "keep"` asks; the tables stay as they are, the backup too. */
  readonly action: "restored" | "kept";
  readonly tables: readonly TableRestore[];
  readonly conflicts: readonly ConflictingVersions[];
}

/**
 * Brings a restore whose process died to its end: the tables that it had not reached go back as well. What others
 * have committed since to a table that was back already stays.
 *
 * @throws ConflictError where the restore was not to hide commits of others, and there are some now.
 * @throws CorruptError where the backup's files are gone.
 */
export async function completeRestore(
  entry: JournalEntry,
  record: EntryRecord,
  settings: { lancedb: LanceDB; database: string; onConflict: OnConflict | "keep"; logger: Logger },
): Promise<CompletedRestore> {
  const { lancedb, database, logger } = settings;
  const { restore } = record;
  if (!restore) throw new TypeError(`${entry.id} is no restore.`);
  const onConflict = settings.onConflict === "overwrite" ? "overwrite" : restore.onConflict;
  if (settings.onConflict === "keep") return giveUp(entry, record, restore, settings);
  try {
    const taking = { database, asideName: restore.backup, by: entry.id };
    await returnTaken(taking);
    const whole = await planRestore(lancedb, database, restore.backup, record, onConflict, true);
    const plan = await whatRemains(database, whole, restore, onConflict);
    const tables = await carryOut(plan, { lancedb, ...taking, onConflict, logger });
    await end(lancedb, entry, database);
    logger.warn("completed a restore whose process had died", { backup: restore.backup, tables });
    return { action: "restored", tables, conflicts: [] };
  } catch (error) {
    const isFinal =
      error instanceof ConflictError || error instanceof CorruptError || error instanceof LanceError;
    throw isFinal ? explained(error, restore.backup) : error;
  }
}

/** Nothing is restored any more; the tables that were reached stay so. */
async function giveUp(
  entry: JournalEntry,
  record: EntryRecord,
  restore: ArmedRestore,
  { lancedb, database, logger }: { lancedb: LanceDB; database: string; logger: Logger },
): Promise<CompletedRestore> {
  const { backup } = restore;
  let conflicts: readonly ConflictingVersions[] = [];
  try {
    await returnTaken({ database, asideName: backup, by: entry.id });
    const whole = await planRestore(lancedb, database, backup, record, restore.onConflict, true);
    ({ conflicts } = await whatRemains(database, whole, restore, restore.onConflict));
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    logger.warn("a restore that cannot be completed", { backup, error: error.message });
  }
  await end(lancedb, entry, database);
  logger.warn("gave up a restore whose process had died", { backup });
  return { action: "kept", tables: [], conflicts };
}

async function end(lancedb: LanceDB, entry: JournalEntry, database: string): Promise<void> {
  await entry.become("armed", "done");
  await sweepEntry(lancedb, database, entry);
}

/** The plan without the tables that the restore had reached, unless they show the backup still. */
async function whatRemains(
  database: string,
  plan: RollbackPlan,
  { heads }: ArmedRestore,
  onConflict: OnConflict,
): Promise<RollbackPlan> {
  const headOf = (directory: string) => heads.find((head) => head.directory === directory);
  const puts = [];
  for (const put of plan.puts) {
    const before = headOf(basename(put.target.dataset)) ?? { version: 0, digest: "" };
    if (put.action === "keep" || !(await hasShown(put.target, before))) puts.push(put);
  }
  const drops: DropPlan[] = [];
  for (const drop of plan.drops) {
    if (await isTheSame(join(database, drop.directory), headOf(drop.directory))) drops.push(drop);
  }
  const stay = new Set(plan.drops.filter((drop) => !drops.includes(drop)).map((drop) => drop.directory));
  const gone = plan.namespaces.gone.filter(({ location }) => location === null || !stay.has(location));
  const namespaces = { ...plan.namespaces, gone };
  return { ...plan, puts, drops, namespaces, conflicts: conflictsOf(puts, drops, onConflict) };
}

/** Whether a table that is to go is the one that was to go; another has come under its name otherwise. */
async function isTheSame(dataset: string, head: ArmedRestore["heads"][number] | undefined): Promise<boolean> {
  if (!head) return false;
  const newest = (await listManifests(dataset))[0]?.version ?? 0;
  if (head.version === 0 || newest < head.version) return head.version === newest;
  const digest = digestOfVersion(dataset, head.version);
  return digest === head.digest || digest === ""; // a cleanup takes old versions
}

function explained(
  error: ConflictError | CorruptError | LanceError,
  backup: string,
): ConflictError | CorruptError | LanceError {
  const message = `The restore of backup ${backup} was cut off, and cannot be completed: ${error.message} recover({ onConflict: "keep" }) leaves the tables as they are.`;
  if (error instanceof ConflictError) return new ConflictError(message, error.conflicts, { cause: error });
  if (error instanceof LanceError) return new LanceError(message, { cause: error });
  return new CorruptError(message, { path: error.path, cause: error });
}
