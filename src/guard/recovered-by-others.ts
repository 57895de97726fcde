import { existsSync } from "node:fs";
import { join } from "node:path";
import { BackupError, IoError, RestoreError } from "../errors.ts";
import { rootDirectory } from "../lance/database.ts";
import { listManifests, readManifest } from "../lance/manifest.ts";
import { digestOfVersion, findManifest, hasVersion, inspectTable } from "../lance/put-back/table-state.ts";
import { sameContent } from "../lance/same-content.ts";
import { highestOf } from "../util/extremes.ts";
import { type CapturedTable, type EntryRecord, isAdopted } from "./journal/entry-record.ts";
import type { LoggedIntent } from "./journal/intent-log.ts";
import { type JournalEntry, NotThereError } from "./journal/journal-entry.ts";
import { currentOf, foldLog, type TableHistory } from "./rollback/work-history.ts";

/** What was begun by this process, and is not its own any more. */
export interface RecoveredWork {
  readonly entry: JournalEntry;
  readonly record: EntryRecord;
  readonly database: string;
  readonly log: readonly LoggedIntent[];
  /** What came of it here, as the beginning of a sentence. */
  readonly what: string;
  readonly workError?: unknown;
}

/**
 * The error for an entry that was armed here, and that somebody else has recovered since, or that is away with its
 * directory: whether its tables are as before or as the work left them is theirs to know, so it says what each holds.
 */
export async function recoveredByOthers(work: RecoveredWork): Promise<RestoreError> {
  const { entry, record, database, what } = work;
  const state = entry.state;
  const how =
    state === "gone" || !entry.isSame()
      ? existsSync(database)
        ? `is not there any more (${entry.directory})`
        : `cannot be seen, since ${database} is away`
      : state === "armed"
        ? "is armed, but its tables' locks were taken by somebody else"
        : `is not armed any more, but ${state}`;
  const now = await tablesNow(work);
  const message = `${what}; but its entry ${entry.id} of the journal ${how}. Somebody has recovered this entry (with force from another machine, or by hand), or moved its directory: so nothing was undone here, and it is no success. What its tables hold now: ${now}. Look at them, and do again what is missing.`;
  const restoreError = new NotThereError(entry.id, {});
  return new RestoreError(message, {
    restoreError,
    workError: work.workError,
    backupPath: record.backupPath,
  });
}

/**
 * Looks whether what the work was told is committed is there: a directory that was away while it wrote has it not, though
 * it may be back by now.
 *
 * @throws IoError naming the table.
 */
export async function assertCommitsThere(
  work: Pick<RecoveredWork, "record" | "database" | "log">,
): Promise<void> {
  const { record, database, log } = work;
  const histories = foldLog(database, log);
  for (const table of record.tables) {
    if (table.state === "absent" && isAdopted(record, table.id)) continue; // it may have been dropped past the guard
    const { ours, directory } = currentOf(histories.get(table.id));
    const last = highestOf(0, ours.keys());
    const place = directory ?? placeOf(table);
    if (last === 0 || place === undefined) continue;
    const dataset = join(database, place);
    if (hasVersion(dataset, last)) continue;
    const newest = (await listManifests(dataset))[0]?.version ?? 0;
    if (newest >= last) continue; // a cleanup took it
    // Others may drop a table, and make it anew: then the version that was captured is not there either.
    const isSameTable = table.state === "absent" || digestOfVersion(dataset, table.version) === table.digest;
    if (!isSameTable) continue;
    const path = dataset;
    throw new IoError(
      `What the guarded work wrote to table ${table.id}, up to version ${last}, is not there: ${dataset} was away, or another directory lay in its place, while it was written.`,
      { path, errno: "ENOENT" },
    );
  }
}

async function tablesNow({ record, database, log }: RecoveredWork): Promise<string> {
  if (!existsSync(database)) return `nothing can be seen of ${record.tables.map(({ id }) => id).join(", ")}`;
  const histories = foldLog(database, log);
  const texts: string[] = [];
  for (const table of record.tables) {
    texts.push(
      `table ${table.id} ${await tableNow(database, table, histories.get(table.id), log.length > 0)}`,
    );
  }
  return texts.join("; ");
}

async function tableNow(
  database: string,
  table: CapturedTable,
  history: TableHistory | undefined,
  isLogged: boolean,
): Promise<string> {
  const { ours, directory } = currentOf(history);
  const place = directory ?? placeOf(table);
  if (place === undefined) return "was not there before, and was not made";
  const dataset = join(database, place);
  try {
    const { manifests, head } = await inspectTable(dataset);
    const newest = manifests[0]?.version;
    if (newest === undefined)
      return table.state === "absent" ? "is not there, as before" : "is not there, and was before";
    const before =
      table.state === "present"
        ? await findManifest(dataset, table.version, table.digest, manifests)
        : undefined;
    const image = before && readManifest(dataset, before)?.manifest;
    const isAsBefore = head !== undefined && image !== undefined && sameContent(head, image);
    const own = [...ours.keys()].sort((a, b) => a - b);
    const last = own.at(-1);
    const at = `is at version ${newest}`;
    if (!isLogged) {
      return isAsBefore || before
        ? `${at}, which ${isAsBefore ? "holds" : "does not hold"} what the backup holds`
        : at;
    }
    if (isAsBefore && last !== undefined && newest > last) {
      return `${at}, which holds what version ${before?.version} held before the work: what the work wrote (version ${own.join(", ")}) was rolled back`;
    }
    if (last === undefined) return `${at}; the work wrote nothing to it`;
    if (digestOfVersion(dataset, last) !== ours.get(last)) {
      return `${at}; what the work wrote (version ${own.join(", ")}) is not there`;
    }
    return newest === last
      ? `${at}, the last that the work wrote: all of it is there`
      : `${at}; what the work wrote (version ${own.join(", ")}) is there, and others have committed since, or gone back behind it`;
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    return `cannot be read (${error.message})`;
  }
}

function placeOf(table: CapturedTable): string | undefined {
  return table.state === "present" ? table.directory : rootDirectory(table.id);
}
