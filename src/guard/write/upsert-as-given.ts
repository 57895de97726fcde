import type { RecordBatch } from "apache-arrow";
import { Feed, openSource } from "./row-source.ts";
import { chunksOf, type Written, writeChunks } from "./write-chunks.ts";
import type { HelperCall } from "./write-options.ts";
import { planWrite, type WriteIntent } from "./write-plan.ts";

/**
 * Upserts rows that a table has held before, all or none: no vector is made anew, one that is null stays null. The rows are
 * asked for when the table is locked, so that what they depend on is as it will be when they are written.
 *
 * @throws ValidationError where the table does not exist; those of `BackupManager.withBackup`, and of the rows
 */
export async function upsertAsGiven(
  rows: () => AsyncIterable<RecordBatch>,
  key: string,
  call: HelperCall,
): Promise<Written> {
  const intent: WriteIntent = {
    mergeOn: [key],
    whenMatched: "update",
    mode: "append",
    embedding: undefined,
    asGiven: true,
  };
  const written = await call.run(async (db) => {
    const target = await call.require(db);
    const feed = await Feed.open(openSource(rows()), call.signal, call.logger);
    try {
      if (feed.isEmpty) return { version: target.version, insertedRows: 0, updatedRows: 0 };
      const plan = await planWrite(call.manager.lancedb, target, feed, intent);
      return await writeChunks({ db, call, target, plan }, chunksOf(feed.pieces(), plan, call.signal));
    } finally {
      await feed.close();
    }
  });
  call.tell("rows put back", written);
  return written;
}
