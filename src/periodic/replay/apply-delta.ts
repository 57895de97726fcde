import { existsSync } from "node:fs";
import { ValidationError } from "../../errors.ts";
import { assertRoot, holding } from "../../fs/held-root.ts";
import { localPath } from "../../fs/local-path.ts";
import { takeOwnerBelow } from "../../fs/take-owner.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import { openBackupFile } from "../file/open.ts";
import type { BackupFileReader, IndexRecord } from "../file/types.ts";
import { applyTable, assertAppliable } from "./apply-table.ts";
import { checkTable } from "./check-table.ts";
import { type ReplayOptions, replaySettings } from "./options.ts";
import { readThrough } from "./read-through.ts";
import { remakeIndices } from "./remake-indices.ts";
import { writing } from "./writing.ts";

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
    let affected = 0;
    const indices = new Map<string, readonly IndexRecord[]>();
    for await (const table of reader.tables()) {
      affected += await writing(reader, table, () => applyTable(target, table));
      assertRoot(path); // LanceDB makes what is missing, and writes there
      if (table.head.form !== "dropped") indices.set(table.head.table, table.head.indices);
    }
    await remakeIndices(target, indices, logger);
    takeOwnerBelow(path);
    return affected;
  } finally {
    db.close();
  }
}
