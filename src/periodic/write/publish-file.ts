import { join } from "node:path";
import { assertRoot } from "../../fs/held-root.ts";
import { scanAll } from "../../lance/row-delta/scan-rows.ts";
import { deltasSinceFull, fileName, listBackupFiles, nextMicros, soundFiles } from "../chain/chain-files.ts";
import { type BackupFileWriter, type FileHead, isoTime, type TableForm } from "../file/backup-file.ts";
import { createBackupFile } from "../file/create-file.ts";
import type { PinnedTable } from "../table-pins.ts";
import type { WriteContext } from "./write-context.ts";
import { reading, type Source } from "./write-sources.ts";

interface WholeTable {
  readonly table: PinnedTable;
  readonly source: Source;
  readonly form: Extract<TableForm, "rows" | "replaced">;
  readonly from?: PinnedTable["position"] | undefined;
}

/** Writes every row of a table. */
export function writeAllRows(writer: BackupFileWriter, whole: WholeTable): Promise<void> {
  return reading(whole.table.id, () => copyRows(writer, whole));
}

async function copyRows(writer: BackupFileWriter, whole: WholeTable): Promise<void> {
  const { schema, key, indices, door, version } = whole.source;
  const { id, position } = whole.table;
  const { form, from } = whole;
  await writer.beginTable({ table: id, form, schema, key, from, to: position, indices });
  for await (const batch of scanAll(door.table, version)) await writer.write("upserts", batch);
  await writer.endTable();
}

interface NewFile {
  readonly type: "full" | "delta";
  readonly database: string;
  readonly follows?: FileHead["follows"];
  /** What the file leaves the tables at. */
  readonly tables: readonly PinnedTable[];
}

/**
 * Writes one file and publishes it whole, with the pins that the next delta needs. The pins are remembered
 * just before the file gets its name: a death in between leaves a file that the next delta can follow.
 */
export async function publish(
  { settings, pins }: WriteContext,
  file: NewFile,
  writeTables: (writer: BackupFileWriter) => Promise<void>,
): Promise<string> {
  const { backupDir, fileFormat, clock, logger, incremental } = settings;
  const started = performance.now();
  const micros = nextMicros(listBackupFiles(backupDir), clock.now());
  const name = fileName(file.type, fileFormat, micros);
  const { type, database, follows } = file;
  const head: FileHead = { type, database, timestamp: isoTime(micros), ...(follows && { follows }) };
  const path = join(backupDir, name);
  const writer = await createBackupFile(path, fileFormat, head);
  let written: { readonly bytes: number };
  try {
    await writeTables(writer);
    for (const root of [settings.database, backupDir]) assertRoot(root);
    if (pins.identity() !== database) pins.setIdentity(database);
    if (incremental) {
      pins.write(name, { database, selection: settings.tables ?? null, tables: file.tables });
    }
    written = await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  logger.info("periodic backup written", {
    file: name,
    bytes: written.bytes,
    deltasSinceFull: deltasSinceFull(soundFiles(listBackupFiles(backupDir), clock.now())),
    ms: Math.round(performance.now() - started),
  });
  return name;
}
