import type { Connection } from "@lancedb/lancedb";
import { sameLayout } from "../../arrow/types.ts";
import { ValidationError } from "../../errors.ts";
import { deleteRows } from "../../lance/lacking.ts";
import type { Logger } from "../../logger.ts";
import { filtersFor, keyColumn } from "../records/delete-keys.ts";
import { Feed } from "../records/feed.ts";
import { callLance } from "../records/lance-call.ts";
import { lookAtExisting } from "../records/look.ts";
import { type KeysInput, openSource } from "./row-source.ts";
import { refName, requireTable, type TableRef } from "./target-table.ts";
import {
  checkGuarded,
  GUARDED_OPTIONS,
  type GuardedOptions,
  guardOptions,
  managerFor,
} from "./write-options.ts";

/** How `deleteRowsWithBackup` finds the rows. */
export interface DeleteRowsOptions extends GuardedOptions {
  readonly table: string;
  /** The column that rows are deleted by. Every row that holds one of the keys goes. */
  readonly key: string;
}

export interface DeleteRowsResult {
  /** A plain, unguarded connection to the database. */
  readonly connection: Connection;
  readonly table: string;
  /** The table's version after the delete. */
  readonly version: number;
  /** Rows that were there and are gone. */
  readonly deletedRows: number;
}

/**
 * Deletes the rows with these keys, all or none: whatever goes wrong, the table is put back as it was.
 *
 * `rows` is an array, or a sync or async iterable, of keys or of objects that hold the key in the column's
 * name, or an Arrow table with that column. Keys may be of any scalar type: strings, numbers, bigints,
 * booleans, Dates, Uint8Arrays; a Date, or a number of milliseconds, for timestamps, and a bigint for the
 * column's own unit. Keys that no row has are fine. Up to 100,000 keys are one commit. 0 and -0 are one key.
 * All keys are checked before the first row goes, so their text is held: 8 to 20 bytes for a number, 39 for a UUID.
 *
 * No keys at all is a success that deletes nothing, takes no backup, and returns the version as it is.
 *
 * Errors: `ValidationError` (nothing was written) for a table or column that does not exist, and for a key
 * that is null, missing, NaN, or no value of the column's type, naming the row, counted from 0; `LanceError`
 * with LanceDB's error as `cause`; those of `BackupManager.withBackup`; the signal's reason; errors of the
 * caller's iterable, unchanged.
 */
export async function deleteRowsWithBackup(
  rows: KeysInput,
  options: DeleteRowsOptions,
): Promise<DeleteRowsResult> {
  const start = performance.now();
  const ref = checkGuarded("deleteRowsWithBackup", options?.table, options, {
    ...GUARDED_OPTIONS,
    table: true,
    key: true,
  });
  const { key, signal } = options;
  if (typeof key !== "string" || key === "") throw new ValidationError("The option key must name a column.");
  const manager = managerFor(options);
  signal?.throwIfAborted();
  const feed = await Feed.open(openSource(rows, "rows"), signal, manager.logger);
  try {
    const { connection, target: before } = await lookAtExisting(manager, ref, options);
    const field = keyColumn(key, before.schema.fields);
    const filters = await filtersFor(feed, field, signal);
    const job = { ref, filters, signal, logger: manager.logger };
    const deleted =
      filters.length === 0
        ? { version: before.version, deletedRows: 0 }
        : await manager.withBackup(
            options.strategy,
            async (db) => {
              const now = keyColumn(key, (await requireTable(db, ref, signal)).schema.fields);
              // It may have changed, or been recovered, between the check and the lock.
              if (!sameLayout(now.type, field.type)) {
                throw new ValidationError(`Column "${key}" changed its type meanwhile; call again.`);
              }
              return await deleteBy(db, job);
            },
            guardOptions(ref, options),
          );
    const ms = Math.round(performance.now() - start);
    manager.logger.info("rows deleted", { table: refName(ref), ...deleted, ms });
    return { connection, table: ref.name, ...deleted };
  } finally {
    await feed.close();
  }
}

interface DeleteJob {
  readonly ref: TableRef;
  readonly filters: readonly string[];
  readonly signal: AbortSignal | undefined;
  readonly logger: Logger;
}

async function deleteBy(db: Connection, job: DeleteJob): Promise<{ version: number; deletedRows: number }> {
  const { ref, signal, logger } = job;
  const { table, version } = await requireTable(db, ref, signal);
  let deleted = { version, deletedRows: 0 };
  for (const filter of job.filters) {
    signal?.throwIfAborted();
    const start = performance.now();
    const step = await callLance(`delete from the table "${refName(ref)}"`, signal, () =>
      deleteRows(table, filter),
    );
    deleted = { version: step.version, deletedRows: deleted.deletedRows + step.deleted };
    const ms = Math.round(performance.now() - start);
    logger.debug("rows deleted", {
      table: refName(ref),
      rows: step.deleted,
      version: step.version,
      ms,
    });
  }
  return deleted;
}
