import { holding } from "../../../fs/held-root.ts";
import { localPath } from "../../../fs/local-path.ts";
import type { SnapshotContent } from "../snapshot-view.ts";
import { assertDatabase } from "./in-place/plan-in-place.ts";
import { planRestore } from "./plan-restore.ts";
import { restoreNew } from "./restore-new.ts";
import {
  assertApart,
  checkRestoreOptions,
  type RestoreContext,
  type RestoreOptions,
} from "./restore-options.ts";
import { type RestoreReport, reportOf } from "./restore-report.ts";

/**
 * Restores a snapshot. What can be known to be wrong is refused before anything is written (`planRestore` says what).
 *
 * @throws CorruptError naming file and blob where a blob turns out to be damaged: the target is as it was.
 * @throws IoError where the file system refuses something. @throws the signal's reason.
 * @throws RestoreError where a restore in place ended when tables had gone back already: it names them, and can be
 * done again.
 */
export async function restore(
  context: RestoreContext,
  content: SnapshotContent,
  options: RestoreOptions,
): Promise<RestoreReport> {
  const started = performance.now();
  options?.signal?.throwIfAborted();
  assertApart(checkRestoreOptions(options, context.blobs), context.blobs);
  if (options.mode !== "in-place") return restoreAs(context, content, options, started);
  const database = localPath(options.target, "target");
  assertDatabase(database);
  return holding([{ path: database, what: "database" }], () => restoreAs(context, content, options, started));
}

async function restoreAs(
  context: RestoreContext,
  content: SnapshotContent,
  options: RestoreOptions,
  started: number,
): Promise<RestoreReport> {
  const planned = await planRestore(context, content, options);
  const plan = { ...planned, leftOut: [...planned.leftOut, ...(context.leftOut ?? [])] };
  if (options.dryRun) return reportOf(plan, started);
  if (plan.mode === "new") return restoreNew(context, plan, options, started);
  const { restoreInPlace } = await import("./in-place/restore-in-place.ts"); // loads LanceDB
  return restoreInPlace(context, plan, content.snapshot, options, started);
}
