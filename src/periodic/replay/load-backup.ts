import type { Connection } from "@lancedb/lancedb";
import { ValidationError } from "../../errors.ts";
import { localPath } from "../../fs/local-path.ts";
import { lookAtTarget } from "../../lance/landing.ts";
import { openBackupFile } from "../file/open.ts";
import type { IndexRecord } from "../file/types.ts";
import { loadTable } from "./apply-table.ts";
import { checkTable } from "./check-table.ts";
import { makeDatabase } from "./new-database.ts";
import { type ReplayOptions, replaySettings } from "./options.ts";
import { remakeIndices } from "./remake-indices.ts";
import { writing } from "./writing.ts";

/**
 * Loads a full into a new database, and connects to it. Namespaces are made as the tables need them, and the
 * indices that the full recorded are made anew with their settings; one that cannot be is a warning.
 *
 * @param uri a directory that does not exist, or is empty.
 * @throws ValidationError where it is not, or where the file is a delta or cannot be loaded.
 * @throws CorruptError naming file and place where the file is damaged. On any error nothing is left behind.
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
    const indices = new Map<string, readonly IndexRecord[]>();
    for await (const table of reader.tables()) {
      await writing(reader, table, () => loadTable(target, table));
      indices.set(table.head.table, table.head.indices);
    }
    await remakeIndices(target, indices, logger);
  });
  return lancedb.connect(path);
}
