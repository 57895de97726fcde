import { CorruptError } from "../errors.ts";
import type { EntryRecord } from "../guard/journal/entry-record.ts";
import { listEntries } from "../guard/journal/journal.ts";
import type { JournalEntry } from "../guard/journal/journal-entry.ts";
import type { Finding } from "./finding.ts";
import { foreignCommits } from "./foreign-commits.ts";
import type { Remedies } from "./remedies.ts";

/** What guarded operations left in the journal of a database, and who is at work there. */
export async function diagnoseJournal(remedies: Remedies): Promise<Finding[]> {
  const { database } = remedies;
  const findings: Finding[] = [];
  for (const entry of listEntries(database)) findings.push(...(await diagnoseEntry(entry, remedies)));
  if (findings.length > 0) return findings;
  return [{ check: "journal", about: database, level: "ok", details: "Nothing was left in the journal." }];
}

async function diagnoseEntry(entry: JournalEntry, remedies: Remedies): Promise<Finding[]> {
  const base = { check: "journal", about: entry.id };
  try {
    const { state } = entry;
    if (state === "gone") return []; // it went while we looked
    if (state === "making" || state === "done") {
      if ((await entry.liveness()) !== "dead") return [];
      const details = "Left by a process that died; nothing depends on it.";
      return [{ ...base, level: "note", details, advice: "The next guarded operation removes it." }];
    }
    const record = entry.read(state);
    if (!record) return []; // it went while we looked
    if (state === "held") return [{ ...base, ...diagnoseHeld(record, remedies) }];
    const what = entry.isRestore ? "A restore of" : "Guarded work on";
    const life = await entry.liveness();
    if (life === "alive") {
      return [{ ...base, level: "note", details: `${what} ${tablesOf(record)} is under way.` }];
    }
    if (life === "unknown") {
      const owner = entry.readOwner()?.owner;
      return [
        {
          ...base,
          level: "warning",
          details: `${what} ${tablesOf(record)} was begun by process ${owner?.pid} on ${owner?.host}; whether that lives cannot be seen from here.`,
          advice: `Check on that host. If it is dead: ${remedies.recover("--force")}`,
        },
      ];
    }
    const cutOff = `${what} ${tablesOf(record)} was cut off when its process died`;
    const foreign = entry.isRestore ? "" : await foreignCommits(entry, record, remedies.database);
    if (foreign !== "") return [{ ...base, level: "problem", ...refused(cutOff, foreign, remedies) }];
    const next = entry.isRestore ? "finishes the restore" : "rolls the tables back";
    const advice = `${remedies.recover()}, or the next guarded operation, ${next}.`;
    return [{ ...base, level: "problem", details: `${cutOff}.`, advice }];
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    const advice = `Its tables are left alone by guarded writes. Bring the file back from a copy, or move ${entry.directory} away if the tables are as you want them.`;
    return [{ ...base, level: "problem", details: error.message, advice }];
  }
}

function refused(cutOff: string, foreign: string, remedies: Remedies): Pick<Finding, "details" | "advice"> {
  return {
    details: `${cutOff}, and others have committed since: ${foreign}. It is not rolled back by itself, since that would hide their commits.`,
    advice: `${remedies.recover("--overwrite")} rolls back anyway, and their versions stay reachable: by number, or below .lancedb-backup/aside/others where the table goes again. ${remedies.recover("--keep")} leaves the tables as they are, and keeps the backup.`,
  };
}

function diagnoseHeld(
  record: EntryRecord,
  remedies: Remedies,
): Pick<Finding, "level" | "details" | "advice"> {
  const { kind, createdAt, id } = record;
  const undo = `${remedies.undo("restore", id)}, or ${remedies.undo("clean", id)}`;
  const of = `a backup of ${tablesOf(record)} from ${createdAt}`;
  if (kind === "explicit")
    return { level: "note", details: `There is ${of}.`, advice: `When it is no longer needed: ${undo}` };
  return {
    level: "warning",
    details: `Guarded work that failed could not be rolled back, since others had committed; kept is ${of}.`,
    advice: undo,
  };
}

function tablesOf({ tables, adopts }: EntryRecord): string {
  if (adopts?.tables === null) return "the whole database";
  return tables.length === 0 ? "no table" : tables.map(({ id }) => id).join(", ");
}
