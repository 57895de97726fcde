import type { JsonObject, PartContent, StoredEntry, StoredPart } from "../../engine/snapshot.ts";
import type { Holdings } from "../../engine/source-contract.ts";
import { CorruptError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
import type { PostgresFormat } from "./dump-postgres.ts";
import { type PostgresFacts, tableId } from "./postgres-catalog.ts";

// A PostgreSQL database as a part of a snapshot (docs/formats.md, *A PostgreSQL database as a part*).

const FORMATS = ["sql", "custom", "directory", "tar"] as const satisfies readonly PostgresFormat[];

/** The path of what pg_dump has written, or, for `directory`, of the directory. */
export const DUMP_ENTRIES: Readonly<Record<PostgresFormat, string>> = {
  sql: "dump.sql",
  custom: "dump.custom",
  tar: "dump.tar",
  directory: "dump",
};

export const GLOBALS_ENTRY = "globals.sql";

export interface CountedTable {
  readonly schema: string;
  readonly name: string;
  readonly rows: number;
}

/** What a part says of its database. */
export interface PostgresAbout {
  readonly format: PostgresFormat;
  readonly serverVersion: string;
  readonly tables: readonly CountedTable[];
  /** Ids of tables that are not in the dump. */
  readonly leftOut: readonly string[];
  /** Ids of those that it was to have alone. */
  readonly selection?: readonly string[] | undefined;
}

export interface PostgresDetails extends Omit<PostgresFacts, "serverVersion"> {
  readonly program: string;
  readonly programMajor: number;
  readonly pieceBytes: number;
}

export function writeAbout({ leftOut, selection, ...rest }: PostgresAbout): JsonObject {
  return { ...rest, ...(leftOut.length > 0 && { leftOut }), ...(selection && { selection }) };
}

/** @throws CorruptError naming `place`. */
export function readAbout({ about }: Pick<StoredPart, "about">, place: string): PostgresAbout {
  const fields = new Fields(about, place, "about");
  return {
    format: fields.oneOf("format", FORMATS),
    serverVersion: fields.text("serverVersion"),
    tables: fields.objects("tables").map((table) => ({
      schema: table.text("schema"),
      name: table.text("name"),
      rows: table.count("rows"),
    })),
    leftOut: fields.optionalTexts("leftOut") ?? [],
    selection: fields.optionalTexts("selection"),
  };
}

/** @throws CorruptError naming `place`. */
export function readDetails({ details }: Pick<PartContent, "details">, place: string): PostgresDetails {
  const fields = new Fields(details, place, "details");
  return {
    serverMajor: fields.count("serverMajor"),
    encoding: fields.text("encoding"),
    collate: fields.text("collate"),
    ctype: fields.text("ctype"),
    program: fields.text("program"),
    programMajor: fields.count("programMajor"),
    pieceBytes: fields.count("pieceBytes"),
  };
}

export function holdingsOf({
  tables,
  leftOut,
  selection,
}: Omit<PostgresAbout, "serverVersion" | "format">): Holdings {
  const rows = new Map(tables.map((table) => [tableId(table), table.rows]));
  return { rows, leftOut, ...(selection && { selection }) };
}

/** The entries of the dump itself: one, or those of a directory. @throws CorruptError naming `place`. */
export function dumpEntries(
  { entries }: Pick<PartContent, "entries">,
  format: PostgresFormat,
  place: string,
): readonly StoredEntry[] {
  const path = DUMP_ENTRIES[format];
  const others = entries.filter((entry) => entry.path !== GLOBALS_ENTRY);
  const isOfDump = (entry: StoredEntry) =>
    format === "directory" ? /^dump\/[^/]+$/.test(entry.path) : entry.path === path;
  const isWhole = format === "directory" ? others.length > 0 : others.length === 1;
  if (isWhole && others.every(isOfDump)) return others;
  throw new CorruptError(
    `${place} is damaged: it does not have the entries of a dump in the format ${format}.`,
    {
      path: place,
    },
  );
}
