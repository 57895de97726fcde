import { BackupNotFoundError, ValidationError } from "../../errors.ts";
import { localPath } from "../../fs/local-path.ts";
import type { Logger } from "../../logger.ts";
import { isoTime } from "../file/backup-file.ts";
import { PinStore } from "../table-pins.ts";
import { type BackupFileName, backToFull, Heads, listBackupFiles, soundFiles } from "./chain-files.ts";

/** The files of a chain, and of which database they are. */
export interface FoundChain {
  /** Of a full and its deltas, oldest first. */
  readonly paths: readonly string[];
  /** Its identity. */
  readonly database: string;
}

export interface ChainWanted {
  /** Of which database: its identity, or its directory. */
  readonly database?: string | undefined;
  readonly logger?: Logger;
  readonly nowMs?: number;
}

/**
 * The files that lead to the state at a time. They are found by what
 * each delta says that it follows, so that a missing one is missed. Files from the future serve where there are no others
 * alone: the clock was wrong when they were written, or is wrong now. A file that cannot be read may be of the database
 * that is meant, and is not passed over.
 *
 * @throws ValidationError where there are files of several databases and none is named, or of none that is called so: it
 * names them. @throws BackupNotFoundError where nothing is that old.
 * @throws CorruptError, IoError where a file is missing, unreadable, or another than the next one follows.
 */
export async function findChain(
  directory: string,
  at: Date | undefined,
  { database, logger, nowMs = Date.now() }: ChainWanted = {},
): Promise<FoundChain> {
  const latest = at === undefined ? Number.POSITIVE_INFINITY : at.getTime() * 1000 + 999;
  const heads = new Heads(directory);
  const all = listBackupFiles(directory);
  const files = await ofOneDatabase(directory, all, heads, database);
  const sound = soundFiles(files, nowMs);
  const isMeant = (file: BackupFileName) => file.micros <= latest;
  const newest = sound.findLast(isMeant) ?? files.findLast(isMeant);
  const ahead = files.filter((file) => !sound.includes(file)).map(({ name }) => name);
  if (ahead.length > 0) {
    logger?.warn("the times of periodic files lie in the future: they are not taken for the newest", {
      files: ahead,
      taken: newest?.name,
    });
  }
  if (newest === undefined) {
    const [oldest] = files;
    const what = oldest ? `the oldest is of ${isoTime(oldest.micros)}` : "there is none at all";
    const when = at === undefined ? "" : ` of ${at.toISOString()} or before`;
    throw new BackupNotFoundError(directory, `There is no periodic backup${when} in ${directory}: ${what}.`);
  }
  const chain = await backToFull(newest, all, heads);
  const { head } = await heads.read(newest.name);
  return { paths: chain.reverse().map((file) => heads.path(file.name)), database: head.database };
}

/** The files of the database that is meant, oldest first, and those that do not say of which they are. */
async function ofOneDatabase(
  directory: string,
  files: readonly BackupFileName[],
  heads: Heads,
  wanted: string | undefined,
): Promise<readonly BackupFileName[]> {
  const byDatabase = new Map<string | undefined, BackupFileName[]>();
  for (const file of files) {
    const database = await heads.databaseOf(file);
    byDatabase.set(database, [...(byDatabase.get(database) ?? []), file]);
  }
  const known = [...byDatabase.keys()].filter((database) => database !== undefined);
  if (wanted === undefined && known.length <= 1) return files;
  const meant = wanted === undefined || known.includes(wanted) ? wanted : identityAt(wanted, directory);
  if (meant !== undefined && known.includes(meant)) {
    const others = new Set(known.filter((database) => database !== meant));
    const ofOthers = new Set([...others].flatMap((database) => byDatabase.get(database) ?? []));
    return files.filter((file) => !ofOthers.has(file));
  }
  const list = known.map((database) => {
    const own = byDatabase.get(database) ?? [];
    const [oldest, newest] = [own[0], own.at(-1)].map((file) => isoTime(file?.micros ?? 0));
    return `${database} (${own.length} files, ${oldest} to ${newest})`;
  });
  const there = list.length === 0 ? "There is none" : `There are ${list.join(", ")}`;
  throw new ValidationError(
    wanted === undefined
      ? `The periodic files in ${directory} are of ${known.length} databases: say of which with the option database, by its identity or its directory. (A copy of a database is another database, and so is one that was created again.) ${there}.`
      : `There are no periodic files of the database ${wanted} in ${directory}. ${there}.`,
  );
}

/** What the files call the database in a directory; undefined where it is none, or has none there. */
function identityAt(database: string, directory: string): string | undefined {
  return new PinStore(localPath(database, "database"), directory).identity();
}
