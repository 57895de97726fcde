import type { JsonObject, PartContent, StoredEntry, StoredPart } from "../../engine/snapshot.ts";
import type { Holdings } from "../../engine/source-contract.ts";
import { CorruptError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
import type { DatabaseFacts } from "./inspect-database.ts";

// A SQLite database as a part of a snapshot (docs/formats.md, *A SQLite database as a part*).

/** The path of its one entry. */
export const DATABASE_ENTRY = "database.sqlite";

/** What a part says of its database. */
export interface SqliteAbout extends DatabaseFacts {
  /** Whether it was written anew without free pages. */
  readonly compact: boolean;
}

export function writeAbout({ tables, compact, unchecked, violations, ...rest }: SqliteAbout): JsonObject {
  return {
    ...rest,
    tables: tables.map(({ name, rows }) => ({ name, ...(rows !== undefined && { rows }) })),
    ...(compact && { compact }),
    ...(violations.length > 0 && { violations }),
    ...(unchecked.length > 0 && { unchecked }),
  };
}

/** @throws CorruptError naming `place`. */
export function readAbout({ about }: StoredPart, place: string): SqliteAbout {
  const fields = new Fields(about, place, "about");
  return {
    tables: fields.objects("tables").map((table) => ({
      name: table.text("name"),
      rows: table.optionalCount("rows"),
    })),
    pageSize: fields.count("pageSize"),
    journalMode: fields.oneOf("journalMode", ["wal", "rollback"]),
    encoding: fields.text("encoding"),
    userVersion: fields.integer("userVersion"),
    applicationId: fields.integer("applicationId"),
    violations: (fields.optionalObjects("violations") ?? []).map((one) => ({
      table: one.text("table"),
      parent: one.text("parent"),
      rows: one.count("rows"),
    })),
    unchecked: fields.optionalTexts("unchecked") ?? [],
    sqlite: fields.text("sqlite"),
    compact: fields.optionalFlag("compact"),
  };
}

/** The one entry of a part. @throws CorruptError naming `place`. */
export function entryOf({ entries }: PartContent, place: string): StoredEntry {
  const [entry] = entries;
  if (entry?.path === DATABASE_ENTRY && entries.length === 1) return entry;
  throw new CorruptError(`${place} is damaged: a SQLite database has one entry, ${DATABASE_ENTRY}.`, {
    path: place,
  });
}

/** Tables that were not counted in time are there, and tell nothing of their rows. */
export function holdingsOf({ tables }: Pick<DatabaseFacts, "tables">): Holdings {
  const rows = new Map<string, number>();
  const leftOut: string[] = [];
  for (const { name, rows: count } of tables) {
    if (count === undefined) leftOut.push(name);
    else rows.set(name, count);
  }
  return { rows, leftOut };
}
