import { existsSync } from "node:fs";
import type { Connection } from "@lancedb/lancedb";
import type { RecordBatch } from "apache-arrow";
import { DigestTable } from "../../arrow/digest-table.ts";
import { rowDigests } from "../../arrow/row-digests.ts";
import { describeKey, firstUnusableKey } from "../../arrow/row-key.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import { holding } from "../../fs/held-root.ts";
import { localPath } from "../../fs/local-path.ts";
import { takeOwnerBelow } from "../../fs/take-owner.ts";
import { lookAtTarget } from "../../lance/landing.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import { type BackupFileReader, ROW_KINDS, type TableReader } from "../file/backup-file.ts";
import { openBackupFile } from "../file/open-file.ts";
import { assertAppliable, checkTable, Replay } from "./apply-table.ts";
import { makeDatabase, type ReplayOptions, replaySettings } from "./replay-target.ts";

/**
 * Loads a full into a new database, and connects to it. Namespaces are made as the tables need them, and the
 * indices that the full recorded are made anew with their settings; one that cannot be is a warning.
 *
 * @param uri a directory that does not exist, or is empty.
 * @throws ValidationError where it is not, or where the file is a delta or cannot be loaded.
 * @throws CorruptError naming file and place where the file is damaged. On any error nothing is left behind.
 * @example
 * ```ts
 * const db = await loadBackup("data/periodic/backup_1793882096_full.json", "restored");
 * ```
 */
export async function loadBackup(
  file: string,
  uri: string,
  options: ReplayOptions = {},
): Promise<Connection> {
  const path = localPath(uri, "uri");
  const { lancedb, logger } = replaySettings(options, "loadBackup");
  await using reader = await openBackupFile(localPath(file, "file"));
  if (reader.head.type !== "full") {
    throw new ValidationError(`${reader.path} is a delta; load the full that it follows, then apply it.`);
  }
  for await (const table of reader.tables()) checkTable(reader, table);
  const place = lookAtTarget(path);
  await makeDatabase(lancedb, place, async (target) => {
    const replay = new Replay(target);
    await replay.write(reader);
    await replay.remakeIndices(logger);
  });
  return lancedb.connect(path);
}

/**
 * Applies a delta to a database that is as the file before it left it. Each table is changed in one commit
 * where the changes are of a usual size (up to 32 MB of upserts and 20,000 deletes). Doing it again changes
 * nothing, so that one that was interrupted is simply applied again. The file is read twice: everything that
 * can be wrong with it is found before the first write. Indices that the delta recorded and that a table lacks
 * then, because it was replaced or they are new, are made; one that cannot be is a warning.
 *
 * @returns rows inserted, updated and deleted; for a table that is replaced, all its rows.
 * @throws ValidationError where the file is a full, or does not fit the database; CorruptError naming file and
 * place where the file is damaged. Nothing was written then.
 * @example
 * ```ts
 * const rows = await applyDelta("restored", "data/periodic/backup_1793882396_delta.json");
 * ```
 */
export async function applyDelta(uri: string, file: string, options: ReplayOptions = {}): Promise<number> {
  const path = localPath(uri, "uri");
  const { lancedb, logger } = replaySettings(options, "applyDelta");
  await using reader = await openBackupFile(localPath(file, "file"));
  if (reader.head.type !== "delta") {
    throw new ValidationError(`${reader.path} is a full; load it into a new database with loadBackup.`);
  }
  if (!existsSync(path)) throw new ValidationError(`There is no database at ${path}.`);
  await lancedb.assertOneArrow();
  return await holding([{ path, what: "database" }], () => apply(reader, path, lancedb, logger));
}

async function apply(
  reader: BackupFileReader,
  path: string,
  lancedb: LanceDB,
  logger: Logger,
): Promise<number> {
  const db = await lancedb.connect(path);
  const target = { lancedb, db, path };
  try {
    for await (const table of reader.tables()) {
      checkTable(reader, table);
      await assertAppliable(target, table, reader.path);
    }
    for await (const table of reader.tables()) await readThrough(reader.path, table);
    const replay = new Replay(target);
    const affected = await replay.write(reader);
    await replay.remakeIndices(logger);
    takeOwnerBelow(path);
    return affected;
  } finally {
    db.close();
  }
}

/**
 * Reads every row of a table and keeps none. A file can have a right checksum and rows that are wrong all the
 * same: this finds them while nothing is written yet. Reading is checking; what only a replay minds comes on
 * top, keys that are null, or that come twice.
 *
 * @throws CorruptError naming file, table and row.
 */
async function readThrough(file: string, reader: TableReader): Promise<void> {
  const { form, key } = reader.head;
  const keys = form === "changes" ? new DigestTable() : undefined;
  for (const kind of ROW_KINDS) {
    let rows = 0;
    for await (const batch of reader.batches(kind)) {
      const problem = keys && findProblem(batch, key, keys);
      if (problem !== undefined) {
        const place = `table ${JSON.stringify(reader.head.table)}, ${kind}, row ${rows + problem.row + 1}`;
        throw new CorruptError(
          `${file} is damaged, or was not written by this package: ${place}: ${problem.why}.`,
          { path: file },
        );
      }
      rows += batch.numRows;
    }
  }
}

function findProblem(
  batch: RecordBatch,
  key: readonly string[],
  keys: DigestTable,
): { readonly row: number; readonly why: string } | undefined {
  const unusable = firstUnusableKey(batch, key);
  if (unusable !== undefined)
    return { row: unusable, why: `the key ${describeKey(batch, key, unusable)} can name no row` };
  const digest = rowDigests(batch, key);
  for (let row = 0; row < batch.numRows; row++) {
    if (!keys.add(digest(row))) return { row, why: `the key ${describeKey(batch, key, row)} occurs twice` };
  }
  return undefined;
}
