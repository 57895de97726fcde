import type { RecordBatch } from "apache-arrow";
import type { BackupManager } from "../backup-manager.ts";
import { Feed, openSource } from "./row-source.ts";
import { refName, requireTable, type TableRef } from "./target-table.ts";
import { chunksOf, type Written, writeChunks } from "./write-chunks.ts";
import { type GuardedOptions, guardOptions } from "./write-options.ts";
import { planWrite, type WriteIntent } from "./write-plan.ts";

/**
 * Upserts rows that a table has held before, all or none: no vector is made anew, one that is null stays null. The rows are
 * asked for when the table is locked, so that what they depend on is as it will be when they are written.
 *
 * @throws ValidationError where the table does not exist; those of `BackupManager.withBackup`, and of the rows
 */
export async function upsertAsGiven(
  rows: () => AsyncIterable<RecordBatch>,
  job: {
    readonly manager: BackupManager;
    readonly ref: TableRef;
    readonly key: string;
    readonly options: GuardedOptions;
  },
): Promise<Written> {
  const { manager, ref, key, options } = job;
  const { signal } = options;
  const { logger, lancedb } = manager;
  const intent: WriteIntent = {
    mergeOn: [key],
    whenMatched: "update",
    mode: "append",
    embedding: undefined,
    asGiven: true,
  };
  const written = await manager.withBackup(
    options.strategy,
    async (db) => {
      const target = await requireTable(db, ref, signal);
      const feed = await Feed.open(openSource(rows()), signal, logger);
      try {
        if (feed.isEmpty) return { version: target.version, insertedRows: 0, updatedRows: 0 };
        const plan = await planWrite(lancedb, target, feed, intent);
        return await writeChunks(
          { db, ref, target, plan, signal, logger },
          chunksOf(feed.pieces(), plan, signal),
        );
      } finally {
        await feed.close();
      }
    },
    guardOptions(ref, options),
  );
  logger.info("rows put back", { table: refName(ref), ...written });
  return written;
}
