import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { BackupManager, deleteRowsWithBackup, insertRecordsWithBackup, type Logger } from "lancedb-backup";
import type { Place } from "./words-table.ts";

/** Something that goes wrong. `run` answers when the table is supposed to be whole again. */
export interface Disaster {
  readonly title: string;
  readonly how: string;
  /** Milliseconds from the moment of the damage until the table was whole again. */
  run(place: Place): Promise<number>;
}

const DIMENSIONS = 100;

/** The story tells what a log would; only errors interrupt it. */
const nothing = () => undefined;
const quiet: Logger = { debug: nothing, info: nothing, warn: nothing, error: console.error };

function newWords(count: number): { id: number; word: string; vector: number[] }[] {
  return Array.from({ length: count }, (_, index) => ({
    id: 1_000_000 + index,
    word: `invented-${index}`,
    vector: Array.from({ length: DIMENSIONS }, (_, axis) => Math.sin(index + axis)),
  }));
}

async function timed(task: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await task();
  return performance.now() - started;
}

async function mustFail(task: () => Promise<unknown>): Promise<void> {
  try {
    await task();
  } catch {
    return; // it was made to fail: what counts is the table afterwards
  }
  throw new Error("This was supposed to fail.");
}

const halfABatch: Disaster = {
  title: "a batch that fails half-way",
  how: "insertRecordsWithBackup, rows from a source that breaks after 60,000 of them",
  async run(place) {
    async function* source() {
      for (let batch = 0; batch < 12; batch++)
        yield newWords(5_000).map((row) => ({ ...row, id: row.id + batch * 5_000 }));
      throw new Error("the connection to the crawler was lost");
    }
    return timed(() =>
      mustFail(() =>
        insertRecordsWithBackup(source(), { table: "words", strategy: "directory-copy", ...place }),
      ),
    );
  },
};

const twoSteps: Disaster = {
  title: "a replacement that stops between delete and insert",
  how: "withBackup: rows deleted, optimized with cleanup, then an exception",
  async run(place) {
    await using manager = new BackupManager(place);
    return timed(() =>
      mustFail(() =>
        manager.withBackup("lance-version", async (db) => {
          const table = await db.openTable("words");
          await table.delete("id < 2500");
          await table.optimize({ cleanupOlderThan: new Date() });
          throw new Error("the new version of the documents cannot be parsed");
        }),
      ),
    );
  },
};

const killed: Disaster = {
  title: "a process killed in the middle of a guarded insert",
  how: "SIGKILL after its first commit; the next process recovers",
  async run(place) {
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, "victim.ts"), place.uri, place.backupDir],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve()); // it has committed rows, and means to go on
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the victim ended by itself, with code ${code}`)));
    });
    const dead = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await dead;
    await using manager = new BackupManager({ ...place, logger: quiet });
    return timed(async () => {
      const report = await manager.recover();
      if (report.entries[0]?.action !== "rolled-back") throw new Error("Nothing was recovered.");
    });
  },
};

const dropped: Disaster = {
  title: "a dropped table",
  how: "createBackup, then dropTable by a program that knows nothing of backups, then restoreBackup",
  async run(place) {
    await using manager = new BackupManager(place);
    const id = await manager.createBackup("lance-version");
    await (await connect(place.uri)).dropTable("words");
    const ms = await timed(() => manager.restoreBackup(id));
    await manager.cleanupBackup(id);
    return ms;
  },
};

const deleted: Disaster = {
  title: "a deleted database directory",
  how: "createBackup as a directory copy, rm -rf of the whole database, then restoreBackup",
  async run(place) {
    await using manager = new BackupManager(place);
    const id = await manager.createBackup("directory-copy");
    await rm(place.uri, { recursive: true });
    const ms = await timed(() => manager.restoreBackup(id));
    await manager.cleanupBackup(id);
    return ms;
  },
};

const badInput: Disaster = {
  title: "vectors of the wrong length",
  how: "refused before anything is written (LanceDB would pad them in silence)",
  run: (place) =>
    timed(() =>
      mustFail(() =>
        insertRecordsWithBackup([{ id: 1, word: "short", vector: [1, 2, 3] }], {
          table: "words",
          strategy: "lance-version",
          ...place,
        }),
      ),
    ),
};

/** And one that goes well, so that it is seen that writes still work: 100 rows in, and out again. */
const ordinary: Disaster = {
  title: "no disaster: 100 rows in, and out again",
  how: "insertRecordsWithBackup and deleteRowsWithBackup",
  run: (place) =>
    timed(async () => {
      const rows = newWords(100);
      const options = { table: "words", strategy: "lance-version", ...place } as const;
      await insertRecordsWithBackup(rows, { ...options, mergeOn: "id" });
      await deleteRowsWithBackup(rows, { ...options, key: "id" });
    }),
};

export const disasters: readonly Disaster[] = [
  halfABatch,
  twoSteps,
  killed,
  dropped,
  deleted,
  badInput,
  ordinary,
];
