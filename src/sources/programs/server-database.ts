import { chmodSync, writeFileSync } from "node:fs";
import type { CaptureRequest } from "../../engine/source-contract.ts";
import type { PartToRestore } from "../../engine/source-kind.ts";
import { UnsupportedError, ValidationError } from "../../errors.ts";
import { toIoError } from "../../fs/io.ts";
import { advice } from "../../hint.ts";

// What all databases on servers have alike.

interface WantedTables {
  readonly tables?: readonly string[] | undefined;
  readonly excludeTables?: readonly string[] | undefined;
}

/** What of a database is wanted: what a request says goes before what the source was opened with. */
export function wantedTables(
  { tables, exclude = [] }: Pick<CaptureRequest, "tables" | "exclude">,
  own: WantedTables,
): WantedTables {
  return { tables: tables ?? own.tables, excludeTables: [...(own.excludeTables ?? []), ...exclude] };
}

/** @throws ValidationError where a database has no table, unless that is allowed. */
export function assertTables(
  { uri }: { readonly uri: string },
  tables: readonly unknown[],
  { allowEmpty = false }: Pick<CaptureRequest, "allowEmpty">,
): void {
  if (tables.length > 0 || allowEmpty) return;
  throw new ValidationError(
    advice`The database ${uri} has no table. If it is meant to be empty, back it up ${{ options: { allowEmpty: true } }}.`,
  );
}

/** @throws UnsupportedError where only some of a database is to be restored. */
export function assertAll({ part, paths, tables }: Pick<PartToRestore, "part" | "paths" | "tables">): void {
  if (!paths && !tables) return;
  throw new UnsupportedError(
    `${part.source.uri} is restored as a whole: the options paths and tables do not apply.`,
  );
}

/** Writes a new file that only this user reads, whatever the umask. @throws IoError */
export function writeSecret(file: string, text: string): void {
  try {
    writeFileSync(file, text, { mode: 0o600, flag: "wx" });
    chmodSync(file, 0o600);
  } catch (error) {
    throw toIoError(error, "write", file);
  }
}
