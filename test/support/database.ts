import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { onTestFinished } from "vitest";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import type { BackupManagerOptions } from "../../src/guard/manager-options.ts";
import { LanceDB } from "../../src/lance/which-lancedb.ts";
import type { Logger } from "../../src/logger.ts";

/** The LanceDB that the tests import, for what is handed one. */
export const lancedb = new LanceDB();

export interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly meta: Record<string, unknown> | undefined;
}

/** A database in a temporary directory of its own, gone when the test ends. */
export interface TestDatabase {
  readonly directory: string;
  readonly uri: string;
  readonly backupDir: string;
  /** LanceDB's own connection, not guarded: what another program would have. */
  readonly db: Connection;
  readonly manager: BackupManager;
  /** A further manager on the same database, as another part of a program would make one. */
  newManager(options?: BackupManagerOptions): BackupManager;
  /** What the managers logged. */
  readonly logged: LogLine[];
  readonly logger: Logger;
}

/** A temporary directory, removed when the test ends. */
export async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "lancedb-backup-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export function recordingLogger(): { logger: Logger; logged: LogLine[] } {
  const logged: LogLine[] = [];
  const at = (level: keyof Logger) => (message: string, meta?: Record<string, unknown>) =>
    void logged.push({ level, message, meta });
  return { logger: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }, logged };
}

export async function newDatabase(options: BackupManagerOptions = {}): Promise<TestDatabase> {
  const directory = await newDirectory();
  const uri = options.uri ?? join(directory, "db");
  const backupDir = options.backupDir ?? join(directory, "backups");
  const { logger, logged } = recordingLogger();
  const managers: BackupManager[] = [];
  const newManager = (more: BackupManagerOptions = {}) => {
    const manager = new BackupManager({ uri, backupDir, logger, lockTimeoutMs: 5_000, ...options, ...more });
    managers.push(manager);
    return manager;
  };
  const db = await connect(uri);
  onTestFinished(async () => {
    db.close();
    for (const manager of managers) await manager[Symbol.asyncDispose]();
  });
  return { directory, uri, backupDir, db, manager: newManager(), newManager, logged, logger };
}

/** Everything that a finished operation must not leave behind, by path below the database or the backups. */
export function leftovers(place: Pick<TestDatabase, "uri" | "backupDir">): string[] {
  const rooms = ["journal", "staging", "aside"].map((room) => join(place.uri, ".lancedb-backup", room));
  return [...rooms, place.backupDir].flatMap((directory) =>
    existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [],
  );
}
