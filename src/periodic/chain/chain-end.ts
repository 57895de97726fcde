import { BackupError } from "../../errors.ts";
import { isAway } from "../../fs/held-root.ts";
import type { PeriodicSettings } from "../periodic-options.ts";
import type { PinDocument, PinStore } from "../table-pins.ts";
import { type BackupFileName, backToFull, type Heads, listBackupFiles, soundFiles } from "./chain-files.ts";

/** The file that a delta follows, and what is pinned of it. */
export interface ChainEnd {
  readonly file: BackupFileName;
  readonly sha256: string;
  readonly document: PinDocument;
}

/** Where the next delta can go on; or why it cannot, and a full has to begin a new chain. */
export type Resumed =
  | { readonly end: ChainEnd /** Deltas since its full. */; readonly deltas: number }
  | {
      readonly end: undefined;
      readonly why: "empty" | "lost" | "tables" | "broken";
      readonly document?: PinDocument | undefined;
    };

/**
 * Finds the end of the database's own chain from what the files and the pins say, as after a restart. A chain
 * that lacks a file has no end: what would follow could not be restored.
 */
export async function resumeChain(
  settings: PeriodicSettings,
  pins: PinStore,
  heads: Heads,
): Promise<Resumed> {
  const files = listBackupFiles(settings.backupDir);
  heads.keepOnly(files);
  const identity = pins.identity();
  // A delta after a file from the future could not be named: a full begins anew.
  const sound = soundFiles(files, settings.clock.now());
  const newest = await newestOf(sound, { identity, pins, heads });
  if (newest === undefined) {
    const known = files.length === 0 || identity !== undefined;
    return { end: undefined, why: known ? "empty" : "lost" };
  }
  const { file, document } = newest;
  if (document === undefined) return { end: undefined, why: "lost" };
  if (JSON.stringify(settings.tables ?? null) !== JSON.stringify(document.selection)) {
    return { end: undefined, why: "tables", document };
  }
  try {
    const { head, sha256 } = await heads.read(file.name);
    if (head.database !== document.database) return { end: undefined, why: "lost" };
    const chain = await backToFull(file, files, heads);
    return { end: { file, sha256, document }, deltas: chain.length - 1 };
  } catch (error) {
    if (!(error instanceof BackupError) || isAway(error)) throw error;
    settings.logger.warn("the newest periodic files cannot be continued: a full backup is taken", {
      file: file.name,
      directory: settings.backupDir,
      error: error.message,
    });
    return { end: undefined, why: "broken", document };
  }
}

interface Newest {
  readonly file: BackupFileName;
  readonly document: PinDocument | undefined;
}

/** The newest file of this database, with what was remembered with it: other databases may back up here, too. */
async function newestOf(
  files: readonly BackupFileName[],
  { identity, pins, heads }: { identity: string | undefined; pins: PinStore; heads: Heads },
): Promise<Newest | undefined> {
  for (const file of files.toReversed()) {
    const document = pins.read(file.name);
    if (document !== undefined) return { file, document };
    if (identity !== undefined && (await heads.isOf(identity, file))) return { file, document };
  }
  return undefined;
}
