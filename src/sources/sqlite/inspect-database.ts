import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { CorruptError } from "../../errors.ts";
import { readIsWal } from "./live-database.ts";
import { fromSqlite, SQLITE, sqliteCode } from "./sqlite-failure.ts";

// Runs in a process of its own (sqlite-worker.ts).

export interface InspectInput {
  /** A database that nobody has open, with no journal beside it. */
  readonly file: string;
  /** What it is called in messages. */
  readonly name: string;
  /** Tables are counted for so long, milliseconds; the others are not. */
  readonly countMs: number;
}

/** What is known of a database that is sound. */
export interface DatabaseFacts {
  readonly tables: readonly { readonly name: string; readonly rows: number | undefined }[];
  readonly pageSize: number;
  /** Whether it has a write-ahead log when it is opened. */
  readonly journalMode: "wal" | "rollback";
  readonly encoding: string;
  readonly userVersion: number;
  readonly applicationId: number;
  /** How many rows of a table refer to rows of another that are not there. */
  readonly violations: readonly { readonly table: string; readonly parent: string; readonly rows: number }[];
  /** What SQLite could not check without what the application gives it: functions, collations. In its words. */
  readonly unchecked: readonly string[];
  /** The version of SQLite that has checked it. */
  readonly sqlite: string;
}

/** Views hold nothing, and shadow tables are what virtual ones are made of. */
const TABLES = new Set(["table", "virtual"]);

/** So many things that are wrong are told. */
const MOST_TOLD = 5;

/** More violations of one table than these are not counted. */
const MOST_VIOLATIONS = 10_000;

/**
 * Checks every page, index and foreign key of a database, and counts its rows. Nothing is made beside the file.
 *
 * Rows that refer to nothing are told, and are no damage: SQLite lets them be made where foreign keys are off, its default.
 *
 * @throws CorruptError
 */
export function inspectDatabase({ file, name, countMs }: InspectInput): DatabaseFacts {
  const url = pathToFileURL(file);
  url.search = "?mode=ro&immutable=1";
  const isWal = readIsWal(file); // the pragma does not say: an immutable database has no journal
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(url, { readOnly: true });
    database.exec("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
    return new Inspection(database, name).run(countMs, isWal);
  } catch (error) {
    throw fromSqlite(error, "check", name);
  } finally {
    database?.close();
  }
}

class Inspection {
  readonly #database: DatabaseSync;
  readonly #name: string;
  readonly #unchecked: string[] = [];

  constructor(database: DatabaseSync, name: string) {
    this.#database = database;
    this.#name = name;
  }

  run(countMs: number, isWal: boolean): DatabaseFacts {
    const names = this.#all("PRAGMA main.table_list")
      .filter(({ type, name }) => TABLES.has(String(type)) && !String(name).startsWith("sqlite_"))
      .map(({ name }) => String(name))
      .sort();
    this.#checkPages(names);
    const violations = names.flatMap((table) => this.#violationsOf(table));
    const deadline = performance.now() + countMs;
    const tables = names.map((name) => ({
      name,
      rows: performance.now() < deadline ? this.#count(name) : undefined,
    }));
    return {
      tables,
      violations,
      unchecked: this.#unchecked,
      pageSize: Number(this.#value("PRAGMA page_size")),
      journalMode: isWal ? "wal" : "rollback",
      encoding: String(this.#value("PRAGMA encoding")),
      userVersion: Number(this.#value("PRAGMA user_version")),
      applicationId: Number(this.#value("PRAGMA application_id")),
      sqlite: String(this.#value("SELECT sqlite_version()")),
    };
  }

  /** Where an index needs a function or a collation of the application, its table alone is left out. */
  #checkPages(tables: readonly string[]): void {
    const whole = this.#attempt(() => this.#check("PRAGMA integrity_check"));
    if (whole === undefined) return;
    this.#check("PRAGMA quick_check");
    for (const table of tables) {
      const why = this.#attempt(() => this.#check(`PRAGMA integrity_check(${quoted(table)})`));
      if (why !== undefined) this.#unchecked.push(`${table}: ${why}`);
    }
  }

  #check(pragma: string): void {
    const told = this.#all(pragma).map((row) => String(Object.values(row)[0]));
    if (told.length === 1 && told[0] === "ok") return;
    const some = told.slice(0, MOST_TOLD).join("; ");
    throw new CorruptError(`The SQLite database ${this.#name} is damaged: ${some}.`, { path: this.#name });
  }

  #violationsOf(table: string): DatabaseFacts["violations"] {
    const parents = new Map<string, number>();
    const why = this.#attempt(() => {
      let count = 0;
      for (const { parent } of this.#database
        .prepare(`PRAGMA foreign_key_check(${quoted(table)})`)
        .iterate()) {
        parents.set(String(parent), (parents.get(String(parent)) ?? 0) + 1);
        if (++count === MOST_VIOLATIONS) break;
      }
    });
    if (why !== undefined) this.#unchecked.push(`${table}: ${why}`);
    return [...parents].map(([parent, rows]) => ({ table, parent, rows }));
  }

  #count(table: string): number | undefined {
    let rows: number | undefined;
    this.#attempt(() => {
      rows = Number(this.#value(`SELECT count(*) FROM main.${quoted(table)}`));
    });
    return rows;
  }

  /** Why SQLite cannot do it without the application; undefined where it has. */
  #attempt(task: () => void): string | undefined {
    try {
      task();
      return undefined;
    } catch (error) {
      if (sqliteCode(error) !== SQLITE.error) throw error;
      return (error as Error).message;
    }
  }

  #value(sql: string): unknown {
    return Object.values(this.#database.prepare(sql).get() ?? {})[0];
  }

  #all(sql: string): Record<string, unknown>[] {
    return this.#database.prepare(sql).all();
  }
}

/** A name as SQL has it. */
function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
