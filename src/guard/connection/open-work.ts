import type { BackupError } from "../../errors.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import type { CapturedTable } from "../journal/entry-record.ts";
import type { Intent, Outcome } from "../journal/intent-log.ts";

/** What runs a write: announces it, lets it happen, and reports what it made. */
export interface Write<R> {
  readonly table: string;
  /** Made when the table is captured, just before the write. */
  readonly intent: () => Promise<Intent> | Intent;
  readonly run: () => Promise<R>;
  /** Where it is no write to the table that captures something else. */
  readonly capture?: (() => Promise<void>) | undefined;
  readonly outcome: (result: R) => Promise<Outcome> | Outcome;
  /** What a write has committed that failed; without it, nothing. */
  readonly failure?: (() => Promise<Outcome>) | undefined;
}

/** Guarded work that is under way, as the connection and the tables that it writes through know it. */
export interface OpenWork {
  readonly database: string;
  readonly lancedb: LanceDB;
  readonly logger: Logger;
  /** Of its journal entry; the owner's file gives signs of life. */
  readonly entry: { readonly id: string; readonly ownerFile: string };
  /** Whether every commit in the database since the capture is the work's own. */
  readonly adoptsAll: boolean;
  /** Tables whose stubs were moved, by whichever of its connections. */
  readonly movedStubs: Set<string>;
  /** Numbers what goes aside: one operation may have several connections, and no two moves may have the same place. */
  nextAside(): number;
  captured(table: string): CapturedTable | undefined;
  /** Locks, captures and arms a table unless that was done. When it returns, the way back is on the disk. */
  capture(table: string): Promise<void>;
  /** Runs one write of the guarded work. @throws ValidationError once the work has ended. */
  write<R>(write: Write<R>): Promise<R>;
  /**
   * Runs a call that makes or drops a namespace: one entry of `__manifest`, which is everybody's and is not locked.
   * Guarded operations on the same namespace wait for each other.
   */
  writeNamespace<R>(path: readonly string[], run: () => Promise<R>): Promise<R>;
  /**
   * Runs a call that was made in the work, and all that it leads to: the end of the work waits for it, whether
   * or not the caller did. @throws ValidationError once the work has ended.
   */
  call<R>(task: () => Promise<R>): Promise<R>;
  /** The newest version of a captured table on the disk; 0 where there is none. */
  headOf(table: string): Promise<number>;
  /** A newest manifest that is damaged is found when the table is opened, and moved aside. */
  healIfDamaged(table: string): Promise<void>;
  /** Where the table lies in the database; undefined where it is not there. */
  directoryOf(table: string): Promise<string | undefined>;
  /** Notes an error after which the work may not succeed, whether or not it goes on. */
  readonly mustFail: (error: BackupError) => void;
}
