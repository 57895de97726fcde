import { dirname, join } from "node:path";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import type { OnProgress } from "../../../engine/progress.ts";
import { makeScratch } from "../../../engine/scratch.ts";
import { CorruptError, UnsupportedError, ValidationError } from "../../../errors.ts";
import type { LanceDB } from "../../../lance/which-lancedb.ts";
import type { Logger } from "../../../logger.ts";
import { planNew } from "../restore/plan-restore.ts";
import { restoreNew } from "../restore/restore-new.ts";
import type { RestoreReport } from "../restore/restore-report.ts";
import type { SnapshotContent } from "../snapshot-view.ts";
import type { RestoreTestResult } from "./test-database.ts";

export interface RestoreTestOptions {
  /** Which part of each table's rows is read, above 0 and up to 1. Default 1. All rows are counted all the same. */
  sample?: number | undefined;
  parallel?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

interface Context {
  readonly blobs: BlobStore;
  readonly logger: Logger;
  readonly lancedb: LanceDB;
}

/**
 * Restores a snapshot into a temporary directory and uses it: every table is opened by LanceDB, the rows of every
 * version counted and compared with the snapshot, every row of the newest read, every index queried. Where links to the
 * blobs can be made, no space is needed, and each file's digest is compared all the same; elsewhere all of them are
 * copied to the system's temporary directory.
 *
 * What is wrong with the snapshot is an answer and no error. Where it cannot be restored, there is one for each table.
 *
 * @throws ValidationError for bad options. @throws IoError, also where there is no room for the test.
 * @throws the signal's reason.
 */
export async function restoreTest(
  context: Context,
  content: SnapshotContent,
  options: RestoreTestOptions = {},
): Promise<RestoreTestResult[]> {
  const { sample = 1, signal } = options;
  if (typeof sample !== "number" || !(sample > 0 && sample <= 1)) {
    throw new ValidationError(`sample must be above 0 and at most 1, not ${String(sample)}.`);
  }
  const scratch = await makeScratch(context.blobs);
  try {
    const target = join(scratch.directory, "database");
    const restored = await restoreInto(target, context, content, options);
    if ("ok" in restored) return content.snapshot.tables.map(({ id }) => ({ table: id, ...restored }));
    const { testDatabase } = await import("./test-database.ts"); // loads LanceDB
    const newest = new Map(restored.tables.map(({ directory, version }) => [directory, version]));
    const settings = { scratch: scratch.directory, newest, sample, signal };
    return await testDatabase(context.lancedb, target, content.snapshot, settings);
  } finally {
    await scratch.remove().catch((error: unknown) => {
      context.logger.warn("a restore test could not be cleaned up; the next one removes it", {
        error: String(error),
      });
    });
  }
}

/** Answers with what was restored, or what is wrong with the snapshot, if it cannot be. */
async function restoreInto(
  target: string,
  { blobs, lancedb }: Context,
  content: SnapshotContent,
  { parallel, signal, onProgress }: RestoreTestOptions,
): Promise<RestoreReport | Pick<RestoreTestResult, "ok" | "details" | "error">> {
  const attempt = async (link: boolean) => {
    const options = { target, link, parallel, signal, onProgress };
    const place = { blobs, lancedb };
    return restoreNew(place, await planNew(blobs, content, options), options, performance.now());
  };
  try {
    const { local } = blobs;
    const isBeside = local !== undefined && dirname(dirname(target)) === local.root;
    const files = [...content.files.values()].flat();
    const canLink = isBeside && files.every((file) => blobs.fileOf(file) !== undefined);
    try {
      return await attempt(canLink);
    } catch (error) {
      // The file system may refuse links also within itself: to another user's files, or any.
      if (!canLink || !(error instanceof ValidationError)) throw error;
      return await attempt(false);
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
    return { ok: false, details: `The snapshot cannot be restored: ${error.message}`, error };
  }
}
