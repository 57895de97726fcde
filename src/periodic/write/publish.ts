import { join } from "node:path";
import { assertRoot } from "../../fs/held-root.ts";
import { deltasSinceFull, listBackupFiles, nextMicros, soundFiles } from "../chain/directory.ts";
import { fileName } from "../chain/file-name.ts";
import { createBackupFile } from "../file/create.ts";
import { isoTime } from "../file/document.ts";
import type { BackupFileWriter, FileHead } from "../file/types.ts";
import type { PinnedTable } from "../pins/document.ts";
import type { WriteContext } from "./context.ts";

export interface NewFile {
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
