import { type Dirent, existsSync, realpathSync } from "node:fs";
import { readdir, rename } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { ConflictError, type ConflictingVersions } from "../../errors.ts";
import { removeTree } from "../../fs/directory-tree.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { errnoOf, io, isMissing, reasonOf, toIoError } from "../../fs/io.ts";
import { PIN_ORDER, Placer } from "../../fs/placer.ts";
import { isStray } from "../../fs/safe-names.ts";
import { advice } from "../../hint.ts";
import { isInNamespace, NAMESPACE_TABLE } from "../../lance/database.ts";
import { keepDroppedVersion } from "../../lance/dropped-versions.ts";
import { listManifests } from "../../lance/manifest.ts";
import { changeNamespaces, type NamespaceEntry } from "../../lance/namespaces.ts";
import { removeIfEmpty } from "../../lance/private-directory.ts";
import { commitRestore } from "../../lance/put-back/commit-restore.ts";
import type { PutBackAction, PutBackPlan } from "../../lance/put-back/plan-put-back.ts";
import { type PutBackOutcome, putBack } from "../../lance/put-back/put-back.ts";
import { isLinked, linkTarget } from "../../lance/stubs.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import { adviceOf } from "../../util/advice-of.ts";
import type { OnConflict } from "../journal/entry-record.ts";
import { assertTagsKept, putTagsBack } from "./captured-tags.ts";
import { putNamespacesBack } from "./namespace-entries.ts";
import { type DropPlan, foreignIn, type RollbackPlan } from "./plan-rollback.ts";
import {
  filesOfVersions,
  keepTaken,
  rollBackStubs,
  type Taking,
  takeDirectory,
  takeFiles,
  takeLinked,
} from "./set-aside.ts";

/** What became of one table. */
export interface TableRestore {
  readonly table: string;
  /**
   * `keep`: it was as wanted. `drop`: it had not been there, and is gone again. `merge`, of `__manifest`: it names the
   * tables and namespaces again that are back, and those still that others have made since.
   */
  readonly action: Exclude<PutBackAction, "conflict"> | "drop" | "merge";
  /** Its newest version now; undefined where it is gone. */
  readonly version: number | undefined;
  /**
   * Versions of others that are now behind the newest; `checkout` reaches them by number. Where the table had been
   * dropped and made anew, a number that the restored table has too names that one's version again: the other's
   * manifest is kept in `.lancedb-backup/aside/manifests`. Where guarded work had made the table, and
   * it is gone, they are kept with it in `.lancedb-backup/aside/others`; what came after a backup made by hand is not.
   */
  readonly passedOver: readonly number[];
}

export interface CarryOutOptions extends Taking {
  readonly lancedb: LanceDB;
  readonly onConflict: OnConflict;
  readonly logger: Logger;
  /** Called after an error of any kind when what had been done is undone, as far as it can be. */
  readonly onSetBack?: (() => void) | undefined;
}

type Steps = (() => Promise<void>)[];

/**
 * Carries out a rollback. Can be done twice.
 *
 * @throws ConflictError where a foreign commit is in the way, also where it slipped in while we restored: the
 * tables before it are then as they were. @throws IoError before anything changed, where a captured tag is missing in
 * the backup.
 */
export async function carryOut(plan: RollbackPlan, options: CarryOutOptions): Promise<TableRestore[]> {
  if (plan.conflicts.length > 0) throw conflictError(plan.conflicts);
  assertTagsKept(plan.tags);
  const results: TableRestore[] = [];
  const [undo, last]: [Steps, Steps] = [[], []];
  try {
    for (const put of plan.puts) results.push(await putOneBack(put, options, undo));
    for (const drop of plan.drops) results.push(await takeAway(drop, options, undo, last));
  } catch (error) {
    if (!(error instanceof ConflictError) && !options.onSetBack) throw error;
    for (const step of undo.reverse()) await step();
    options.onSetBack?.();
    throw error;
  }
  for (const step of last) await step();
  await rollBackStubs(options.database, plan.stubs, options.logger);
  for (const [index, result] of results.entries()) {
    const later = plan.adopted?.get(result.table);
    if (later && result.action !== "drop")
      results[index] = {
        ...result,
        passedOver: result.passedOver.filter((version) => later.includes(version)),
      };
  }
  const isRebuilt = plan.puts.some(({ target }) => target.table === NAMESPACE_TABLE);
  results.push(...(await putNamespacesBack(options.lancedb, options.database, plan.namespaces, isRebuilt)));
  for (const tags of plan.tags) {
    const leftOut = await putTagsBack(tags);
    if (leftOut.length > 0)
      options.logger.warn("tags were left out: their versions are gone", { tags: leftOut });
  }
  return results;
}

async function putOneBack(
  put: PutBackPlan,
  { lancedb, database, logger }: CarryOutOptions,
  undo: Steps,
): Promise<TableRestore> {
  const started = performance.now();
  const { table } = put.target;
  const outcome = await putBack(lancedb, database, put);
  if (!("passedOver" in outcome)) throw conflictError([{ table, versions: outcome.foreign }]);
  const { action, version, passedOver } = outcome;
  const { link, dataset } = put.target;
  if (link !== undefined && linkTarget(dataset) === undefined) {
    logger.warn("a table that was a symbolic link is now in the database's own directory", {
      table,
      link,
    });
  }
  if (action === "restore") undo.push(() => commitAgain(lancedb, database, put, outcome));
  const ms = Math.round(performance.now() - started);
  logger.debug("table put back", { table, action: put.action, version, ms });
  return { table, action, version, passedOver };
}

/** Makes the version from before a put back the newest again, unless somebody has committed since. */
async function commitAgain(
  lancedb: LanceDB,
  database: string,
  put: PutBackPlan,
  outcome: PutBackOutcome,
): Promise<void> {
  const { dataset } = put.target;
  const manifest = (await listManifests(dataset)).find((name) => name.version === outcome.before);
  if (!manifest) return;
  const wanted = { dataset, manifest };
  await commitRestore(lancedb, database, { dataset, wanted, head: outcome.version, floor: outcome.version });
}

/**
 * A table that was not there before goes: renamed away, so that nothing is deleted until the end. What others
 * have committed up to then is seen by it; what they make under the name from then on is another table.
 */
async function takeAway(
  drop: DropPlan,
  options: CarryOutOptions,
  undo: Steps,
  last: Steps,
): Promise<TableRestore> {
  const { database, onConflict, logger } = options;
  const path = join(database, drop.directory);
  if (drop.ownFilesAlone) return takeOwnFiles(drop, options, undo);
  const gone: TableRestore = {
    table: drop.table,
    action: "drop",
    version: undefined,
    passedOver: drop.foreign,
  };
  if (!existsSync(path)) return gone;
  const link = isLinked(path) ? realpathSync(path) : undefined;
  const place = link ?? path;
  let taken = link === undefined ? await takeDirectory(options, drop.directory) : await takeLinked(link);
  undo.push(async () => {
    if (link !== undefined) removeIfEmpty(link);
    await io("put back", place, () => rename(taken, place));
    await syncDirectories([dirname(place), dirname(taken)]);
  });
  const foreign = drop.adopted ? drop.foreign : await foreignIn(taken, drop.ours);
  if (foreign.length > 0 && onConflict === "fail" && !drop.adopted)
    throw conflictError([{ table: drop.table, versions: foreign }]);
  const stays = drop.keepsAll || (foreign.length > 0 && drop.keepsForeign);
  if (stays) {
    if (link === undefined) taken = await keepTaken(options, taken, drop.directory);
    const meta = { table: drop.table, versions: foreign, path: taken };
    logger.warn(
      "a table that was not there before was removed again; what others had put into it is kept",
      meta,
    );
  } else if (link !== undefined) {
    last.push(() => removeTree(taken));
  }
  try {
    keepDroppedVersion(database, drop.table, (await listManifests(taken))[0]?.version ?? 0);
  } catch (error) {
    // On a full disk: going back is worth more than what a handle on the table may do to its next namesake.
    logger.warn("the version of a table that is removed could not be recorded", {
      table: drop.table,
      error: reasonOf(error),
    });
  }
  logger.debug("created table removed", { table: drop.table });
  return { ...gone, passedOver: foreign };
}

/** Of a directory that others have a creation under way in, only what the work's versions name goes. */
async function takeOwnFiles(drop: DropPlan, options: CarryOutOptions, undo: Steps): Promise<TableRestore> {
  const { table, directory, ours } = drop;
  const path = join(options.database, directory);
  if (existsSync(path)) {
    const files = await filesOfVersions(path, ours);
    undo.push(await takeFiles(options, directory, files));
    const foreign = await foreignIn(path, ours);
    if (foreign.length > 0) throw conflictError([{ table, versions: foreign }]);
    options.logger.debug("created table removed", { table, files: files.length });
  }
  return { table, action: "drop", version: undefined, passedOver: [] };
}

/** @param backup the one that was to be gone back to, where it is kept for a decision */
export function conflictError(conflicts: readonly ConflictingVersions[], backup?: string): ConflictError {
  return new ConflictError(
    advice`Others have committed meanwhile (${listed(conflicts)}), and going back would hide it. Nothing was changed and the backup is kept. To go back all the same, do it again ${{ options: { onConflict: "overwrite" } }}.`,
    conflicts,
    { backup },
  );
}

/** What a version's manifest can name. */
const NAMED = ["data", "_deletions", "_indices"];

/**
 * The guarded work dropped a table, and somebody has written to it since by a handle from before: their commit
 * names files that went with the drop. Where it is not rolled back as a whole, these files are, so that the table
 * opens: it holds what it held before the drop, and what they wrote. Answers with such tables. So do files that were no
 * table. Never throws.
 */
export async function rollBackDrops(
  lancedb: LanceDB,
  database: string,
  plan: RollbackPlan,
  conflicts: readonly ConflictingVersions[],
  logger: Logger,
): Promise<string[]> {
  await rollBackStubs(database, plan.stubs, logger);
  const returned: string[] = [];
  for (const { target } of plan.puts) {
    const { table, dataset, asideDataset } = target;
    if (!asideDataset || !existsSync(dataset) || !conflicts.some((one) => one.table === table)) continue;
    try {
      await linkMissing(asideDataset, dataset);
      if (isInNamespace(table)) await listAgain(lancedb, dirname(dataset), plan, table);
      returned.push(table);
    } catch (error) {
      const reason = reasonOf(error);
      logger.warn("files of a dropped table could not be rolled back", { table, error: reason });
    }
  }
  return returned;
}

/** The drop took the table out of `__manifest`. */
async function listAgain(
  lancedb: LanceDB,
  database: string,
  { namespaces }: RollbackPlan,
  table: string,
): Promise<void> {
  const isPart = ({ object_id: id, location }: NamespaceEntry) =>
    id === table || (location === null && table.startsWith(`${id}$`));
  const wanted = namespaces.wanted.filter(isPart);
  await changeNamespaces(lancedb, join(database, NAMESPACE_TABLE), database, { wanted, gone: [] });
}

async function linkMissing(source: string, dataset: string): Promise<void> {
  const placer = new Placer(PIN_ORDER);
  for (const part of NAMED) {
    for (const file of await filesBelow(join(source, part))) {
      try {
        await placer.place(source, dataset, relative(source, file).split(sep).join("/"));
      } catch (error) {
        if (errnoOf(error) !== "EEXIST") throw error;
      }
    }
  }
  await placer.sync();
}

async function filesBelow(directory: string): Promise<string[]> {
  let found: Dirent[];
  try {
    found = await readdir(directory, { withFileTypes: true, recursive: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
  return found
    .filter((entry) => entry.isFile() && !isStray(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

// What a ConflictError says: whose commits are in the way, what the tables hold now, and what to do.

/** Guarded work failed in a live process, and could not be rolled back. Its backup is kept. */
export function workConflict(
  found: ConflictError,
  backup: {
    readonly id: string;
    readonly database: string;
    readonly tables: readonly string[];
    /** Tables that the work dropped, and that are there again by what others wrote to them. */
    readonly returned: readonly string[];
  },
  workError: unknown,
): ConflictError {
  const { id, database } = backup;
  const returned =
    backup.returned.length > 0
      ? ` (${backup.returned.join(", ")}: dropped by the work, and back with all that it held, since others have written to it)`
      : "";
  return new ConflictError(
    advice`The guarded work failed (${adviceOf(workError)}), and others have committed meanwhile (${listed(found.conflicts)}): going back would hide that. So nothing was rolled back, and what the work wrote is still in its tables (${backup.tables.join(", ")})${returned}. The backup is ${id}: ${{ call: "restoreBackup", id, database }} goes back all the same, and their commits stay reachable: by number, or where the table goes again below .lancedb-backup/aside/others; ${{ call: "cleanupBackup", id, database }} leaves the tables as they are.`,
    found.conflicts,
    { cause: workError, backup: backup.id },
  );
}

/** What a dead process left could not be rolled back. Its tables are closed to guarded work until that is decided. */
export function recoveryConflict(found: ConflictError, id: string, database: string): ConflictError {
  return new ConflictError(
    advice`The operation ${id} was cut off by the death of its process, and others have committed since (${listed(found.conflicts)}): going back would hide that. So nothing was rolled back, what it wrote is still in its tables, and they are closed to guarded work until you decide: ${{ call: "recover", database, options: { onConflict: "overwrite" } }} goes back all the same, and their commits stay reachable: by number, or where the table goes again below .lancedb-backup/aside/others; ${{ call: "recover", database, options: { onConflict: "keep" } }} leaves the tables as they are and keeps the backup.`,
    found.conflicts,
    { cause: found, backup: id },
  );
}

/** A restore that was not to hide commits of others was cut off, and there are some now. */
export function restoreConflict(found: ConflictError, backup: string, database: string): ConflictError {
  return new ConflictError(
    advice`The restore of backup ${backup} was cut off, and others have committed since (${listed(found.conflicts)}): going on would hide that. ${{ call: "recover", database, options: { onConflict: "overwrite" } }} goes on all the same; ${{ call: "recover", database, options: { onConflict: "keep" } }} leaves the tables as they are.`,
    found.conflicts,
    { cause: found, backup },
  );
}

function listed(conflicts: readonly ConflictingVersions[]): string {
  return conflicts.map(({ table, versions }) => `table ${table}, version ${versions.join(", ")}`).join("; ");
}

export interface RestoreResult {
  readonly id: string;
  /** With `dryRun`: what would become of each, each with the newest version that it has now. */
  readonly tables: readonly TableRestore[];
}

/** What a plan would make of each table. */
export function foretold(plan: RollbackPlan): TableRestore[] {
  const puts = plan.puts.map(
    ({ target, action, newest, foreign }): TableRestore => ({
      table: target.table,
      action: action === "conflict" ? "keep" : action, // a plan with conflicts is not carried out
      version: newest === 0 ? undefined : newest,
      passedOver: foreign,
    }),
  );
  return [
    ...puts,
    ...plan.drops.map(
      ({ table }): TableRestore => ({ table, action: "drop", version: undefined, passedOver: [] }),
    ),
  ];
}
