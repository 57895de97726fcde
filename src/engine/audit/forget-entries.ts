import { isNotFound } from "../../errors.ts";
import { type AuditAction, type AuditEntry, entryName } from "./audit-entry.ts";
import { type AuditPlace, appendEntry, entryNumbers, isUnreadable, readEntry } from "./audit-log.ts";

const DAY_MS = 86_400_000;

/**
 * Removes the oldest entries that are older than so many days, as far as each before the first younger one can be read and is
 * not locked. Before that it appends the entry that says so, from which the chain verifies. Interrupted anywhere, the next call goes on.
 *
 * @param action who does it, when; the rest is filled in.
 * @returns how many were removed
 */
export async function forgetEntries(
  place: AuditPlace,
  action: Omit<AuditAction, "operation" | "details">,
  keepDays: number,
  signal?: AbortSignal,
): Promise<number> {
  const { storage } = place;
  const numbers = await entryNumbers(storage, signal);
  const oldest = action.at.getTime() - keepDays * DAY_MS;
  let through: { readonly number: number; readonly sha256: string } | undefined;
  // The newest stays in any case: from it others go on.
  for (const number of numbers.slice(0, -1)) {
    signal?.throwIfAborted();
    let entry: AuditEntry;
    try {
      entry = await readEntry(place, number, signal);
    } catch (error) {
      if (isNotFound(error)) continue;
      if (!isUnreadable(error)) throw error;
      // Removed, nobody would know that it was damaged.
      place.logger.warn("an entry of the audit log cannot be read, and stays", {
        number,
        reason: error.message,
      });
      break;
    }
    if (entry.at.getTime() >= oldest || (await storage.lock?.until(entryName(number), { signal }))) break;
    through = { number, sha256: entry.sha256 };
  }
  if (!through) return 0;
  const details = { through: through.number, sha256: through.sha256 };
  await appendEntry(place, { ...action, operation: "forget", details }, undefined, signal);
  const gone = numbers.filter((number) => number <= through.number);
  for (const number of gone) {
    signal?.throwIfAborted();
    await storage.remove(entryName(number), { signal });
  }
  return gone.length;
}
