import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Table } from "@lancedb/lancedb";
import { afterAll } from "vitest";
import { newDatabase, type TestDatabase } from "../support/database.ts";
import { rowsOf } from "../support/snapshot.ts";
import { makeOldest } from "./by-hand.ts";

/** What wrote the tables: versions of `@lancedb/lancedb`, and the package before it. */
export const VERSIONS = [
  "vectordb-0.4.20",
  "0.5.2",
  "0.8.0",
  "0.13.0",
  "0.16.0",
  "0.19.1",
  "0.22.3",
  "0.30.0",
  "Lance 0.7, by hand",
  "Lance 0.8, by hand",
] as const;
export type OldVersion = (typeof VERSIONS)[number];

/** Made of the oldest that the registry has. */
const BY_HAND: Partial<Record<OldVersion, "none" | "wrong">> = {
  "Lance 0.7, by hand": "none",
  "Lance 0.8, by hand": "wrong",
};
const OLDEST: OldVersion = "vectordb-0.4.20";

const FIXTURES = join(import.meta.dirname, "fixtures");

/** Unpacked once a process. */
const unpacked = new Map<OldVersion, string>();
afterAll(() => {
  for (const directory of unpacked.values()) rmSync(directory, { recursive: true, force: true });
  unpacked.clear();
});

/** The directory in which a version's tables lie. Not to be written to. */
export function tablesOf(version: OldVersion): string {
  let directory = unpacked.get(version);
  if (directory === undefined) {
    directory = mkdtempSync(join(tmpdir(), "lancedb-backup-old-"));
    unpacked.set(version, directory);
    const counts = BY_HAND[version];
    execFileSync("tar", ["-xzf", join(FIXTURES, `${counts ? OLDEST : version}.tar.gz`), "-C", directory]);
    if (counts) for (const name of readdirSync(directory)) makeOldest(join(directory, name), counts);
  }
  return directory;
}

export function namesOf(version: OldVersion): string[] {
  return readdirSync(tablesOf(version))
    .filter((name) => name.endsWith(".lance"))
    .map((name) => name.slice(0, -".lance".length));
}

export interface OldDatabase extends TestDatabase {
  readonly tables: readonly string[];
  /** LanceDB refuses to list indices of tables without row counts, until something is committed to them. */
  readonly listsIndices: boolean;
}

/** A database with copies of old tables, gone when the test ends. */
export async function oldDatabase(
  version: OldVersion,
  tables: readonly string[] = namesOf(version),
): Promise<OldDatabase> {
  const place = await newDatabase();
  mkdirSync(place.uri, { recursive: true });
  for (const name of tables) {
    cpSync(join(tablesOf(version), `${name}.lance`), join(place.uri, `${name}.lance`), { recursive: true });
  }
  return { ...place, tables, listsIndices: BY_HAND[version] !== "none" };
}

/** What a table shows. Two versions that are equal cannot be told apart by reading. */
export async function shownBy(table: Table, { listsIndices }: OldDatabase): Promise<unknown> {
  const schema = await table.schema();
  const indices = listsIndices ? await table.listIndices() : [];
  return {
    columns: schema.fields.map(({ name, type, nullable }) => `${name} ${type} ${nullable}`),
    indices: indices.map(({ name, columns }) => `${name} ${columns.join()}`).sort(),
    rows: await rowsOf(table),
  };
}
