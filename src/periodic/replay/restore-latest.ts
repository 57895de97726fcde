import { basename } from "node:path";
import { types } from "node:util";
import type { Connection } from "@lancedb/lancedb";
import { assertKnown } from "../../checks.ts";
import { ValidationError } from "../../errors.ts";
import { localPath } from "../../fs/local-path.ts";
import { lookAtTarget } from "../../lance/landing.ts";
import { findChain } from "../chain/find-chain.ts";
import { Replay } from "./apply-table.ts";
import { OpenChain } from "./replay-chain.ts";
import { makeDatabase, openTable, type ReplayOptions, replaySettings } from "./replay-target.ts";

export interface RestoreLatestOptions extends ReplayOptions {
  /** The newest state that is not later than this. Default: the newest there is that does not lie in the future. */
  readonly at?: Date | undefined;
  /**
   * Of which database, by its identity (`database` of a file's head) or its directory: where the directory has files of
   * several, it must be named.
   */
  readonly database?: string | undefined;
}

/** What `restoreLatest` made. */
export interface RestoreSummary {
  /** The time of the state, as the last file says it. */
  readonly at: Date;
  /** Identity of the database that the files are of. */
  readonly database: string;
  /** Name of the full. */
  readonly full: string;
  /** Names of the deltas, in the order in which they were applied. */
  readonly deltas: readonly string[];
  /** Ids of the tables, with the rows that each has now. */
  readonly tables: Readonly<Record<string, number>>;
}

/**
 * Makes a new database of the newest full and its deltas, or of those that lead to a time. All files are read
 * and checked, each for itself and one after the other, before anything is written; then the database is made
 * beside its place and renamed into it.
 *
 * @param uri a directory that does not exist, or is empty.
 * @throws BackupNotFoundError where no file is that old.
 * @throws CorruptError where a file is missing, damaged, or not the one that the next one follows: it names
 * it. @throws ValidationError where the directory has files of several databases and none is named; it lists them.
 * @throws IoError. On any error nothing is left behind.
 * @example
 * ```ts
 * await restoreLatest("data/periodic", "restored", { at: new Date("2026-11-28T12:00:00Z") });
 * ```
 */
export async function restoreLatest(
  backupDir: string,
  uri: string,
  options: RestoreLatestOptions = {},
): Promise<RestoreSummary> {
  const known = { at: true, database: true, logger: true, lancedb: true, connection: true } as const;
  assertKnown(options, "restoreLatest", known);
  const { at, database, ...replay } = options;
  const path = localPath(uri, "uri");
  const { lancedb, logger } = replaySettings(replay, "restoreLatest");
  if (at !== undefined && !types.isDate(at)) throw new TypeError("at must be a Date.");
  if (at !== undefined && Number.isNaN(at.getTime())) throw new ValidationError("at is no valid date.");
  if (database !== undefined && typeof database !== "string")
    throw new TypeError("database must be a string: a database's identity, or its directory.");
  const found = await findChain(localPath(backupDir, "backupDir"), at, { database, logger });
  const { paths } = found;
  const place = lookAtTarget(path);
  await using chain = await OpenChain.open(paths);
  const tables = await makeDatabase(lancedb, place, async (target) => {
    const replay = new Replay(target);
    for (const file of chain.files) await file.read(async (open) => void (await replay.write(open)));
    await replay.remakeIndices(logger);
    return countRows(target.db, replay.tables);
  });
  const [full = "", ...deltas] = paths.map((file) => basename(file));
  const last = chain.files.at(-1)?.head.timestamp ?? "";
  logger.info("database restored from periodic backups", { database: path, full, deltas: deltas.length });
  return { at: new Date(last), database: found.database, full, deltas, tables };
}

async function countRows(db: Connection, ids: Iterable<string>): Promise<Record<string, number>> {
  const rows: [string, number][] = [];
  for (const id of ids) {
    const table = await openTable({ db }, id);
    rows.push([id, await table.countRows()]);
    table.close();
  }
  return Object.fromEntries(rows);
}
