import { readFileSync } from "node:fs";
import { CorruptError } from "../../errors.ts";
import { ifThere } from "../../fs/held-root.ts";
import { isOwner, type Owner } from "../../lance/lock/owner.ts";
import { unreadable } from "./journal-record.ts";

/** Who made an entry, and for what; it is there before any record. */
export interface EntryOwner {
  readonly owner: Owner;
  readonly uuid: string;
  /** Where the backup is to be, for a strategy that keeps it outside. */
  readonly backupPath: string | undefined;
  readonly database: string | undefined;
  readonly home: string | undefined;
}

/** Undefined where there is none, or a power cut emptied it. @throws CorruptError where it is damaged. */
export function readEntryOwner(path: string): EntryOwner | undefined {
  let text: string | undefined;
  try {
    text = ifThere(path, () => readFileSync(path, "utf8"));
  } catch (error) {
    throw unreadable(error, path);
  }
  if (text === undefined) return undefined;
  // It appears complete, and is not synced: only a power cut empties it, and then nobody lives.
  if (/^\0*$/.test(text)) return undefined;
  try {
    const value = JSON.parse(text) as Record<string, unknown>;
    const { owner, uuid } = value;
    if (isOwner(owner) && typeof uuid === "string") {
      const [backupPath, database, home] = ["backupPath", "database", "home"].map((key) => {
        const field = value[key];
        return typeof field === "string" ? field : undefined;
      });
      return { owner, uuid, backupPath, database, home };
    }
  } catch (error) {
    throw new CorruptError(`${path} is damaged.`, { path, cause: error });
  }
  throw new CorruptError(`${path} names no owner.`, { path });
}
