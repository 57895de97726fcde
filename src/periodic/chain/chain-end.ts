import { join } from "node:path";
import { BackupError } from "../../errors.ts";
import { peekBackupFile } from "../file/open.ts";
import type { PeriodicSettings } from "../options.ts";
import type { PinStore } from "../pins/pin-store.ts";
import type { ChainEnd } from "../write/context.ts";
import { listBackupFiles } from "./directory.ts";

/** Where the next delta can go on; or why it cannot, and a full has to begin a new chain. */
export type Resumed =
  | { readonly end: ChainEnd }
  | { readonly end: undefined; readonly why: "empty" | "lost" | "tables"; readonly database?: string };

/** Finds the end of the chain from what the files and the pins say, as after a restart. */
export async function resumeChain(settings: PeriodicSettings, pins: PinStore): Promise<Resumed> {
  const file = listBackupFiles(settings.backupDir).at(-1);
  if (file === undefined) return { end: undefined, why: "empty" };
  const document = pins.read(file.name);
  if (document === undefined) return { end: undefined, why: "lost" };
  const { database } = document;
  const wanted = settings.tables ?? null;
  if (JSON.stringify(wanted) !== JSON.stringify(document.selection)) {
    return { end: undefined, why: "tables", database };
  }
  try {
    const { head, sha256 } = await peekBackupFile(join(settings.backupDir, file.name));
    if (head.database !== database) return { end: undefined, why: "lost" };
    return { end: { file, sha256, document } };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    settings.logger.warn("the newest periodic file cannot be read", {
      file: file.name,
      error: error.message,
    });
    return { end: undefined, why: "lost", database };
  }
}
