import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Connection, Table } from "@lancedb/lancedb";
import { isSameColumn } from "../../arrow/column-path.ts";
import { assertKnown, assertLogger } from "../../checks.ts";
import { syncDirectory, syncFile } from "../../fs/durable.ts";
import { takeOwnerBelow } from "../../fs/take-owner.ts";
import { parseTableId } from "../../lance/database.ts";
import { Landing, type LandingPlace } from "../../lance/landing.ts";
import { LanceDB, type LanceDBOptions } from "../../lance/which-lancedb.ts";
import { defaultLogger, type Logger } from "../../logger.ts";
import { forEachParallel } from "../../util/parallel.ts";
import type { IndexRecord } from "../file/backup-file.ts";
import { makeIndices } from "../index-records.ts";

export interface ReplayOptions extends LanceDBOptions {
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  readonly logger?: Logger | undefined;
}

interface ReplaySettings {
  readonly lancedb: LanceDB;
  readonly logger: Logger;
}

export function replaySettings(options: ReplayOptions, of: string): ReplaySettings {
  assertKnown(options, of, { logger: true, lancedb: true, connection: true });
  const { logger = defaultLogger() } = options;
  assertLogger(logger);
  return { lancedb: new LanceDB(options), logger };
}

/** The database that is written to. */
export interface Target {
  readonly lancedb: LanceDB;
  readonly db: Connection;
  /** Its directory. */
  readonly path: string;
}

export function openTable({ db }: Pick<Target, "db">, id: string): Promise<Table> {
  const { name, namespacePath } = parseTableId(id);
  return db.openTable(name, namespacePath);
}

const AT_ONCE = 16;

/**
 * Makes a database whole or not at all: `fill` writes into a directory beside it, which is synced and gets
 * its name when `fill` is done. A failure leaves nothing, and what a killed one left is removed by the next.
 *
 * @param place as `lookAtTarget` found it.
 */
export async function makeDatabase<T>(
  lancedb: LanceDB,
  place: LandingPlace,
  fill: (target: Target) => Promise<T>,
): Promise<T> {
  await lancedb.assertOneArrow();
  const landing = await Landing.open(place, "periodic");
  try {
    const { directory } = landing;
    const db = await lancedb.connect(directory);
    let result: T;
    try {
      result = await fill({ lancedb, db, path: directory });
    } finally {
      db.close();
    }
    takeOwnerBelow(directory);
    await syncTree(directory);
    await landing.finish();
    return result;
  } catch (error) {
    await landing.abandon();
    throw error;
  }
}

async function syncTree(root: string): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile() || entry.isDirectory());
  const all = paths.map((entry) => ({ path: join(entry.parentPath, entry.name), isFile: entry.isFile() }));
  await forEachParallel(all, AT_ONCE, ({ path, isFile }) => (isFile ? syncFile(path) : syncDirectory(path)));
  await syncDirectory(root);
}

/**
 * Makes the recorded indices of each table that it lacks, when all its rows are there. One of the same name is
 * taken for it where it is of the same kind, on the same columns.
 */
export async function remakeIndices(
  { lancedb, db }: Target,
  indices: ReadonlyMap<string, readonly IndexRecord[]>,
  logger: Logger,
): Promise<void> {
  for (const [id, records] of indices) {
    if (records.length === 0) continue;
    const table = await openTable({ db }, id);
    try {
      await makeIndices(table, await missing(table, records), { lancedb, table: id, logger });
    } finally {
      table.close();
    }
  }
}

async function missing(table: Table, records: readonly IndexRecord[]): Promise<IndexRecord[]> {
  const there = await table.listIndices();
  return records.filter(
    ({ name, type, columns }) =>
      !there.some(
        (index) =>
          index.name === name &&
          index.indexType === type &&
          index.columns.length === columns.length &&
          index.columns.every((column, place) => isSameColumn(column, columns[place] ?? "")),
      ),
  );
}
