import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { ConflictError, type ConflictingVersions } from "../../errors.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { io } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { listManifests } from "../../lance/image.ts";
import { ensurePrivateDirectory } from "../../lance/private-directory.ts";
import { type PutBackOutcome, putBack } from "../../lance/put-back/act.ts";
import { commitRestore } from "../../lance/put-back/commit-restore.ts";
import type { PutBackAction, PutBackPlan } from "../../lance/put-back/plan.ts";
import type { Logger } from "../../logger.ts";
import type { DropPlan, OnConflict, RollbackPlan } from "./plan.ts";
import { putTagsBack } from "./tags.ts";

/** What became of one table. */
export interface TableRestore {
  readonly table: string;
  /** `keep`: it was as wanted. `drop`: it had not been there, and is gone again. */
  readonly action: Exclude<PutBackAction, "conflict"> | "drop";
  /** Its newest version now; undefined where it is gone. */
  readonly version: number | undefined;
  /** Versions of others that are now behind the newest; `checkout` reaches them by number. */
  readonly passedOver: readonly number[];
}

export interface CarryOutOptions {
  readonly database: string;
  /** Where directories go that are taken away: below `aside/`. */
  readonly asideName: string;
  readonly onConflict: OnConflict;
  readonly logger: Logger;
}

/**
 * Carries out a rollback. Can be done twice.
 *
 * @throws ConflictError where a foreign commit is in the way; where one slipped in while we restored, it is
 * the newest again, and the tables before it are as they were.
 */
export async function carryOut(plan: RollbackPlan, options: CarryOutOptions): Promise<TableRestore[]> {
  if (plan.conflicts.length > 0) throw conflictError(plan.conflicts);
  const results: TableRestore[] = [];
  const undo: (() => Promise<void>)[] = [];
  for (const put of plan.puts) {
    const started = performance.now();
    const outcome = await putBack(options.database, put);
    if (!("passedOver" in outcome)) {
      for (const step of undo.reverse()) await step();
      throw conflictError([{ table: put.target.table, versions: outcome.foreign }]);
    }
    if (outcome.action === "restore") undo.push(() => commitAgain(options.database, put, outcome));
    results.push({
      table: put.target.table,
      action: outcome.action,
      version: outcome.version,
      passedOver: outcome.passedOver,
    });
    options.logger.debug("table put back", {
      table: put.target.table,
      action: put.action,
      version: outcome.version,
      ms: Math.round(performance.now() - started),
    });
  }
  for (const tags of plan.tags) {
    const leftOut = await putTagsBack(tags);
    if (leftOut.length > 0)
      options.logger.warn("tags were left out: their versions are gone", { tags: leftOut });
  }
  for (const drop of plan.drops) results.push(await takeAway(drop, options));
  return results;
}

/** Makes the version from before a put back the newest again, unless somebody has committed since. */
async function commitAgain(database: string, put: PutBackPlan, outcome: PutBackOutcome): Promise<void> {
  const { dataset } = put.target;
  const manifest = (await listManifests(dataset)).find((name) => name.version === outcome.before);
  if (!manifest) return;
  const wanted = { dataset, manifest };
  await commitRestore(database, { dataset, wanted, head: outcome.version, floor: outcome.version });
}

/** A table that was not there before goes: renamed away, so that nothing is deleted until the end. */
async function takeAway(drop: DropPlan, options: CarryOutOptions): Promise<TableRestore> {
  const path = join(options.database, drop.directory);
  const aside = join(ensurePrivateDirectory(options.database, "aside"), options.asideName);
  if (existsSync(path)) {
    makeDirectory(aside);
    await io("take away", path, () => rename(path, join(aside, `created-${randomUUID()}`)));
    await syncDirectories([options.database, aside]);
  }
  options.logger.debug("created table removed", { table: drop.table });
  return { table: drop.table, action: "drop", version: undefined, passedOver: drop.foreign };
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
