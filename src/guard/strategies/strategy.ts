import type { LinkMode } from "../../fs/place.ts";
import type { Capture } from "../../lance/capture.ts";
import type { OnUnsupported } from "../../lance/left-out.ts";
import type { BackupStrategy } from "../backup-strategy.ts";
import type { EntryRecord } from "../journal/entry-record.ts";
import type { JournalEntry } from "../journal/journal-entry.ts";

export interface StrategyContext {
  readonly database: string;
  readonly backupDir: string;
  readonly link: LinkMode;
}

/**
 * Where and how a backup keeps the files of its tables. To add one: implement this, and name it in
 * `strategyOf`.
 */
export interface Strategy {
  readonly name: BackupStrategy;
  /** Where a backup with this id lies; undefined: in its journal entry. */
  pathOf(context: StrategyContext, id: string): string | undefined;
  /** Makes that place, exclusively: `false` where the name is taken. */
  claim(path: string, uuid: string): boolean;
  /** The directory that holds the tables' directories. */
  tablesDirectory(entry: Pick<JournalEntry, "pins">, backupPath: string): string;
  /** Keeps one table; durable when it returns. Undefined where there is no such table. */
  capture(options: {
    context: StrategyContext;
    dataset: string;
    target: string;
    signal?: AbortSignal | undefined;
    /** Put the content of linked files on the disk too, which LanceDB did not. */
    durable?: boolean | undefined;
    /** What becomes of older versions that cannot be captured in full. Default `fail`. */
    unsupportedVersions?: OnUnsupported | undefined;
  }): Promise<Capture | undefined>;
  /** Records beside the files what they are, where the files outlive the journal. */
  seal(record: EntryRecord): Promise<void>;
  /** Removes what was kept. Never touches a path that is not this backup's own. */
  discard(backupPath: string, uuid: string): Promise<void>;
}
