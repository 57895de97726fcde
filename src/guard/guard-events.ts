import { join } from "node:path";
import { reasonOf } from "../fs/io.ts";
import { ImageReader, listManifests, type VersionImage } from "../lance/image.ts";
import { locateTable } from "../lance/locate.ts";
import type { Logger } from "../logger.ts";
import type { Operation } from "./operation.ts";
import type { RecoveredEntry } from "./recovered.ts";
import type { BackupStrategy } from "./strategy.ts";

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

const NAMES: readonly string[] = ["committed", "rolledBack", "recovered"] satisfies (keyof GuardEvents)[];

/** Those who want to know how guarded work ends. By then all is done: what they do wrong undoes nothing. */
export class GuardListeners {
  readonly #listeners = new Set<{ readonly name: string; readonly listener: (event: never) => unknown }>();

  /** Answers with the function that ends it. @throws TypeError */
  add<N extends keyof GuardEvents>(name: N, listener: (event: GuardEvents[N]) => unknown): () => void {
    if (!NAMES.includes(name)) {
      throw new TypeError(`There is no event ${JSON.stringify(name)}: there are ${NAMES.join(", ")}.`);
    }
    if (typeof listener !== "function") throw new TypeError("listener must be a function.");
    const own = { name, listener };
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Whether it is worth to find out what an event says. */
  isHeard(name: keyof GuardEvents): boolean {
    return [...this.#listeners].some((own) => own.name === name);
  }

  tell(event: GuardEvent, logger: Logger): void {
    const warn = (error: unknown) => {
      const meta = { event: event.type, error: reasonOf(error) };
      logger.warn("a listener of the guard failed; what it was told of stays as it is", meta);
    };
    for (const { name, listener } of [...this.#listeners]) {
      if (name !== event.type) continue;
      try {
        Promise.resolve(listener(event as never)).catch(warn);
      } catch (error) {
        warn(error);
      }
    }
  }
}

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
        logger.warn("what a table holds now cannot be told", { table: captured.id, error: reasonOf(error) });
        return { ...table, version: undefined, rows: undefined };
      }
    }),
  );
}

async function readNewest(dataset: string): Promise<VersionImage | undefined> {
  const [newest] = await listManifests(dataset);
  return newest && new ImageReader(dataset).read(newest);
}
