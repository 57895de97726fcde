import { createHash } from "node:crypto";
import { join } from "node:path";
import { CorruptError } from "../../errors.ts";
import type { FoundProgram } from "../programs/find-programs.ts";
import { inWords, type RunningProgram } from "../programs/run-program.ts";
import { endOfScript, endOfTar } from "./dump-ends.ts";
import { type PostgresAddress, parsePostgresUrl } from "./postgres-address.ts";
import {
  countRows,
  listRelations,
  listUnreadable,
  type PostgresFacts,
  type PostgresSelection,
  readFacts,
  type SelectedTables,
  selectTables,
  tableId,
} from "./postgres-catalog.ts";
import { type ClientOptions, PostgresClient } from "./postgres-client.ts";
import { postgresFailure } from "./postgres-failure.ts";
import { knowsRestrict } from "./postgres-versions.ts";
import type { PsqlSession } from "./psql-session.ts";

/** How pg_dump writes. `sql`: the same data are the same bytes, whenever it is dumped. */
export type PostgresFormat = "sql" | "custom" | "directory" | "tar";

export interface DumpPostgresOptions extends PostgresSelection, ClientOptions {
  /** Default `sql`. */
  readonly format?: PostgresFormat | undefined;
  /** With the format `directory`: tables that are dumped at a time. Default 1. */
  readonly jobs?: number | undefined;
}

const FORMATS: Readonly<Record<PostgresFormat, string>> = {
  sql: "plain",
  custom: "custom",
  directory: "directory",
  tar: "tar",
};

/** How long pg_dump waits for a table that somebody has locked as a whole. */
const LOCK_WAIT = "60s";

/**
 * A database as it was at one moment, to be dumped. The moment is that of a transaction which lasts until this is disposed of: all that is read
 * here is of it, however long it takes.
 */
export class PostgresDump implements AsyncDisposable {
  readonly capturedAt = new Date();
  readonly format: PostgresFormat;
  readonly facts: PostgresFacts;
  readonly program: FoundProgram;
  readonly selected: SelectedTables;
  /** Bytes of the database on the server, about. */
  readonly size: number;
  readonly #client: PostgresClient;
  readonly #session: PsqlSession;
  readonly #snapshot: string;
  readonly #jobs: number;

  private constructor(
    client: PostgresClient,
    session: PsqlSession,
    held: Pick<PostgresDump, "format" | "facts" | "program" | "selected" | "size"> & {
      snapshot: string;
      jobs: number;
    },
  ) {
    this.#client = client;
    this.#session = session;
    this.format = held.format;
    this.facts = held.facts;
    this.program = held.program;
    this.selected = held.selected;
    this.size = held.size;
    this.#snapshot = held.snapshot;
    this.#jobs = held.jobs;
  }

  /**
   * Begins the transaction, and finds the program. Nothing is read of tables yet.
   *
   * @throws UnsupportedError where there is no program for the server's version. @throws IoError where the server is not there, or does not
   * let the user in (`EACCES`). @throws ValidationError where there is no such database, or no such table.
   */
  static async begin(
    where: string | PostgresAddress,
    { format = "sql", jobs = 1, ...options }: DumpPostgresOptions = {},
  ): Promise<PostgresDump> {
    const environment = { ...process.env, ...options.env };
    const address = typeof where === "string" ? parsePostgresUrl(where, environment) : where;
    const client = await PostgresClient.open(address, options);
    try {
      return await PostgresDump.#begin(client, { format, jobs, ...options });
    } catch (error) {
      await client[Symbol.asyncDispose]();
      throw error;
    }
  }

  static async #begin(
    client: PostgresClient,
    { format = "sql", jobs = 1, ...selection }: DumpPostgresOptions,
  ): Promise<PostgresDump> {
    const session = await client.session();
    try {
      const [snapshot = ""] = await session.lines(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot();",
      );
      const facts = await readFacts(session);
      const program = await client.program("pg_dump", facts.serverMajor);
      const selected = selectTables(await listRelations(session), selection);
      const [size = 0] = await session.rows<number>("SELECT pg_database_size(current_database());");
      return new PostgresDump(client, session, { size, format, facts, program, selected, snapshot, jobs });
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Names of tables that the user may not read, or not all rows of. */
  async unreadable(): Promise<readonly string[]> {
    const mayNot = new Set(await listUnreadable(this.#session));
    return this.selected.tables.map(tableId).filter((id) => mayNot.has(id));
  }

  /** How many rows each table has that is dumped. Reads every one of them. */
  countRows(): Promise<ReadonlyMap<string, number>> {
    return countRows(this.#session, this.selected.tables);
  }

  /**
   * The dump, for all formats but `directory`. Ends without an error only where it is whole: pg_dump has said so, and its end is there.
   */
  async *read(): AsyncGenerator<Uint8Array> {
    await using dumping = this.#client.run(this.program.path, this.#arguments());
    dumping.endInput();
    if (this.format === "sql") {
      const end = endOfScript();
      for await (const piece of dumping.read()) {
        end.pass(piece);
        yield piece;
      }
      await this.#assertEnded(dumping);
      if (!end.isThere()) throw this.#cut();
      return;
    }
    // pg_restore reads all of an archive, and so knows whether all of it is there.
    const { path } = await this.#client.program("pg_restore", this.program.major);
    await using reading = this.#client.run(path, ["--file=/dev/null"]);
    const end = this.format === "tar" ? endOfTar() : undefined;
    for await (const piece of dumping.read()) {
      await reading.write(piece);
      end?.pass(piece);
      yield piece;
    }
    reading.endInput();
    await this.#assertEnded(dumping);
    // Of a tar that was cut it reads what there is, and says that all is well.
    if (end && !end.isThere()) throw this.#cut();
    await this.#assertReadable(reading);
  }

  /** Dumps into a directory that goes with this, and answers with its path. For the format `directory`. */
  async writeDirectory(directory = join(this.#client.directory, "dump")): Promise<string> {
    const args = [...this.#arguments(), `--file=${directory}`, `--jobs=${this.#jobs}`, "--no-sync"];
    await using dumping = this.#client.run(this.program.path, args);
    dumping.endInput();
    dumping.output.resume();
    await this.#assertEnded(dumping);
    const { path } = await this.#client.program("pg_restore", this.program.major);
    await using reading = this.#client.run(path, ["--file=/dev/null", directory]);
    reading.endInput();
    await this.#assertReadable(reading);
    return directory;
  }

  /** Roles and tablespaces of the whole server, without passwords, as a script for psql. */
  async *readGlobals(): AsyncGenerator<Uint8Array> {
    const { path } = await this.#client.program("pg_dumpall", this.facts.serverMajor);
    const args = ["--globals-only", "--no-role-passwords", "--no-password", ...this.#restrict()];
    await using dumping = this.#client.run(path, args);
    dumping.endInput();
    const end = endOfScript();
    for await (const piece of dumping.read()) {
      end.pass(piece);
      yield piece;
    }
    await this.#assertEnded(dumping);
    if (!end.isThere()) throw this.#cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#session[Symbol.asyncDispose]();
    } finally {
      await this.#client[Symbol.asyncDispose]();
    }
  }

  #arguments(): string[] {
    return [
      `--format=${FORMATS[this.format]}`,
      "--no-password",
      // Pieces of what is compressed are found again in no later dump.
      "--compress=0",
      `--snapshot=${this.#snapshot}`,
      `--lock-wait-timeout=${LOCK_WAIT}`,
      // Of an archive pg_restore adds it.
      ...(this.format === "sql" ? ["--clean", "--if-exists", ...this.#restrict()] : []),
      ...this.selected.args,
    ];
  }

  /** Each dump would have a key of its own, and no two the same bytes. Whoever runs the script puts a secret one in its place. */
  #restrict(): string[] {
    if (!knowsRestrict(this.program)) return [];
    const key = createHash("sha256").update(this.#client.address.id).digest("hex").slice(0, 32);
    return [`--restrict-key=${key}`];
  }

  async #assertEnded(dumping: RunningProgram): Promise<void> {
    const ending = await dumping.ended();
    if (ending.code === 0) return;
    throw postgresFailure(`${this.#name} did not dump ${this.#uri} and ${inWords(ending)}`, dumping.said);
  }

  async #assertReadable(reading: RunningProgram): Promise<void> {
    const ending = await reading.ended();
    if (ending.code === 0) return;
    throw new CorruptError(
      `The dump of ${this.#uri} is not complete, although ${this.#name} reported success. pg_restore: ${reading.said}`,
    );
  }

  #cut(): CorruptError {
    return new CorruptError(
      `The dump of ${this.#uri} is not complete, although ${this.#name} reported success: its end is missing.`,
    );
  }

  get #name(): string {
    return this.program.path;
  }

  get #uri(): string {
    return this.#client.address.uri;
  }
}
