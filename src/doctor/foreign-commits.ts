import type { EntryRecord } from "../guard/journal/entry-record.ts";
import type { JournalEntry } from "../guard/journal/journal-entry.ts";
import { keptDirectory } from "../guard/kept-backup.ts";
import { planRollback } from "../guard/rollback/plan-rollback.ts";
import { LanceDB } from "../lance/which-lancedb.ts";

/** Commits of others that a rollback would hide, in words: `words, version 5`. Empty where there are none. */
export async function foreignCommits(
  entry: JournalEntry,
  record: EntryRecord,
  database: string,
): Promise<string> {
  const { conflicts } = await planRollback(new LanceDB(), database, {
    record: { ...record, database },
    kept: keptDirectory(entry, record),
    log: entry.readLogIfAny(),
    lastSign: entry.lastSign(),
    onConflict: "fail",
    explicit: false,
  });
  return conflicts.map(({ table, versions }) => `${table}, version ${versions.join(", ")}`).join("; ");
}
