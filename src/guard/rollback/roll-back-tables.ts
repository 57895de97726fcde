import { existsSync, realpathSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ConflictError, type ConflictingVersions } from "../../errors.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { io, reasonOf } from "../../fs/io.ts";
import { removeTree } from "../../fs/remove-tree.ts";
import { NAMESPACE_TABLE } from "../../lance/database.ts";
import { keepDroppedVersion } from "../../lance/dropped-versions.ts";
import { listManifests } from "../../lance/image.ts";
import { removeIfEmpty } from "../../lance/private-directory.ts";
import { type PutBackOutcome, putBack } from "../../lance/put-back/act.ts";
import { commitRestore } from "../../lance/put-back/commit-restore.ts";
import type { PutBackAction, PutBackPlan } from "../../lance/put-back/plan.ts";
import { isLinked, linkTarget } from "../../lance/stubs.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import { putNamespacesBack } from "./act-namespaces.ts";
import { assertTagsKept, putTagsBack } from "./captured-tags.ts";
import { returnStubs } from "./moved-stubs.ts";
import { type DropPlan, foreignIn, type OnConflict, type RollbackPlan } from "./plan-rollback.ts";
import {
  filesOfVersions,
  keepTaken,
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
  await returnStubs(options.database, plan.stubs, options.logger);
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
    logger.warn("a table that was a symbolic link lies in the database's own directory now", {
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
    logger.warn("a table that had not been there is gone again; what others had put into it is kept", meta);
  } else if (link !== undefined) {
    last.push(() => removeTree(taken));
  }
  try {
    keepDroppedVersion(database, drop.table, (await listManifests(taken))[0]?.version ?? 0);
  } catch (error) {
    // On a full disk: going back is worth more than what a handle on the table may do to its next namesake.
    logger.warn("the version of a table that goes could not be noted", {
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

export function conflictError(conflicts: readonly ConflictingVersions[]): ConflictError {
  const list = conflicts
    .map(({ table, versions }) => `table ${table}, version ${versions.join(", ")}`)
    .join("; ");
  return new ConflictError(
    `Others have committed meanwhile (${list}), and going back would hide it. Nothing was changed and the backup is kept. Use onConflict: "overwrite" to go back all the same.`,
    conflicts,
  );
}
