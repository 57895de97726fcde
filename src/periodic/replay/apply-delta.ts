import { existsSync } from "node:fs";
import { connect } from "@lancedb/lancedb";
import { ValidationError } from "../../errors.ts";
import { openBackupFile } from "../file/open.ts";
import { localDirectory } from "../options.ts";
import { applyTable, assertAppliable } from "./apply-table.ts";
import { checkTable } from "./check-table.ts";
import { readThrough } from "./read-through.ts";
import { writing } from "./writing.ts";

/**
 * Applies a delta to a database that is as the file before it left it. Each table is changed in one commit
 * where the changes are of a usual size (up to 32 MB of upserts and 20,000 deletes). Doing it again changes
 * nothing, so that one that was interrupted is simply applied again. The file is read twice: everything that
 * can be wrong with it is found before the first write.
 *
 * @returns rows inserted, updated and deleted; for a table that is replaced, all its rows.
 * @throws ValidationError where the file is a full, or does not fit the database; CorruptError naming file and
 * place where the file is damaged. Nothing was written then.
 */
export async function applyDelta(uri: string, file: string): Promise<number> {
  const path = localDirectory(uri, "uri");
  await using reader = await openBackupFile(localDirectory(file, "file"));
  if (reader.head.type !== "delta") {
    throw new ValidationError(`${reader.path} is a full; load it into a new database with loadBackup.`);
  }
  if (!existsSync(path)) throw new ValidationError(`There is no database at ${path}.`);
  const db = await connect(path);
  try {
    for await (const table of reader.tables()) {
      checkTable(reader, table);
      await assertAppliable({ db, path }, table, reader.path);
    }
    for await (const table of reader.tables()) await readThrough(reader.path, table);
    let affected = 0;
    for await (const table of reader.tables()) {
      affected += await writing(reader, table, () => applyTable({ db, path }, table));
    }
    return affected;
  } finally {
    db.close();
  }
}
