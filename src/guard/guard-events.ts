import { join } from "node:path";
import { reasonOf } from "../fs/io.ts";
import { ImageReader, type VersionImage } from "../lance/image.ts";
import { listManifests } from "../lance/manifest.ts";
import { locateTable } from "../lance/namespaces.ts";
import type { BackupStrategy } from "./backup-strategy.ts";
import type { Operation } from "./operation.ts";
import type { RecoveredEntry } from "./recovery/roll-back-dead.ts";

/** A table that guarded work has captured, as it is when the work has ended. */
export interface WrittenTable {
  readonly table: string;
  /** Its newest version when it was captured; undefined where it was not there. */
  readonly versionBefore: number | undefined;
  /** Its newest version now; undefined where it is gone. */
  readonly version: number | undefined;
  /** Rows of that version; undefined where it is gone, or where its manifest does not say (LanceDB before 0.8). */
  readonly rows: number | undefined;
}

interface Ended {
  /** The id of the undo point, as `listBackups` names it while it is there. */
  readonly backup: string;
  readonly strategy: BackupStrategy;
  /** From the beginning of the work, waiting for locks included. */
  readonly durationMs: number;
}

/** Guarded work has succeeded: its commits are final. */
export interface CommittedEvent extends Ended {
  readonly type: "committed";
  readonly tables: readonly WrittenTable[];
}

/** Guarded work has failed, and every table is as before. */
export interface RolledBackEvent extends Ended {
  readonly type: "rolledBack";
  readonly tables: readonly WrittenTable[];
  /** Why it failed; the caller gets the same. */
  readonly error: unknown;
}

/** Something was done about what dead processes left, or could not be done. Entries of live owners are not in it. */
export interface RecoveredEvent {
  readonly type: "recovered";
  readonly entries: readonly RecoveredEntry[];
  readonly durationMs: number;
}

/** By what `on` is told. */
export interface GuardEvents {
  readonly committed: CommittedEvent;
  readonly rolledBack: RolledBackEvent;
  readonly recovered: RecoveredEvent;
}

export type GuardEvent = GuardEvents[keyof GuardEvents];

/**
 * What the tables of guarded work are, while their locks are still held. It fails no work that has ended: what cannot be
 * read is told as not known, and logged.
 */
export async function tablesWritten(operation: Operation): Promise<WrittenTable[]> {
  const { database, lancedb, logger } = operation;
  return Promise.all(
    operation.record.tables.map(async (captured) => {
      const versionBefore = captured.state === "present" ? captured.version : undefined;
      const table = { table: captured.id, versionBefore };
      try {
        const directory = await locateTable(lancedb, database, captured.id);
        const newest = directory === undefined ? undefined : await readNewest(join(database, directory));
        return { ...table, version: newest?.version, rows: newest?.rows };
      } catch (error) {
        logger.warn("the state of a table is unknown", { table: captured.id, error: reasonOf(error) });
        return { ...table, version: undefined, rows: undefined };
      }
    }),
  );
}

async function readNewest(dataset: string): Promise<VersionImage | undefined> {
  const [newest] = await listManifests(dataset);
  return newest && new ImageReader(dataset).read(newest);
}
