import { randomBytes } from "node:crypto";
import {
  type BackupError,
  CorruptError,
  RestoreError,
  UnsupportedError,
  ValidationError,
} from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import type { FoundProgram } from "../programs/find-programs.ts";
import { inWords, type RunningProgram } from "../programs/run-program.ts";
import { plainScript } from "./dump-ends.ts";
import type { PostgresFormat } from "./dump-postgres.ts";
import { type PostgresAddress, parsePostgresUrl } from "./postgres-address.ts";
import { type PostgresFacts, readFacts } from "./postgres-catalog.ts";
import { type ClientOptions, PostgresClient } from "./postgres-client.ts";
import { postgresFailure } from "./postgres-failure.ts";
import { knowsRestrict } from "./postgres-versions.ts";
import { type PsqlSession, quoteName, quoteText } from "./psql-session.ts";

/** A dump that is to be restored. */
export interface PostgresContent {
  readonly format: PostgresFormat;
  /** Major version of the pg_dump that made it. */
  readonly programMajor: number;
  /** Of the server that it was taken from. */
  readonly facts: PostgresFacts;
  /** Of each table, by schema and name: compared with what has come back. */
  readonly tables: readonly { readonly schema: string; readonly name: string; readonly rows: number }[];
  /** Its bytes; throws at their end at the latest where they are not those of the dump. Not for `directory`. */
  read?(): AsyncIterable<Uint8Array>;
  /** For `directory`: where it is. */
  readonly directory?: string | undefined;
}

export interface RestorePostgresOptions extends ClientOptions {
  /** `new`: the database is not there, or is empty. `in-place`: what the dump has is put in the place of what is there. Default `new`. */
  readonly mode?: "new" | "in-place" | undefined;
  /** Of a dump of the format `directory` into a new database: tables at a time. Default 1. */
  readonly jobs?: number | undefined;
  /** In place: how long to wait for transactions of others that hold what is to be replaced. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
  /** Is called when a database has been made, by a session with the server. */
  readonly onCreated?: ((session: PsqlSession) => Promise<void>) | undefined;
}

/** What is found at the target, before anything is changed. */
interface Target {
  readonly serverMajor: number;
  readonly isThere: boolean;
}

/** Databases that every server has: one is connected to while another is made or dropped. */
const MAINTENANCE = ["postgres", "template1"];

const LOCK_TIMEOUT_MS = 60_000;

const ROWS_DIFFER = "not the rows of the dump";

/**
 * Restores a dump into a database. What is there already, and versions, are looked at before anything is changed. A database that is not there is
 * made, and dropped again where the restore fails; in one that is there all is done in one transaction. Rows are counted, and the
 * planner's statistics made.
 *
 * @throws ValidationError where the database holds something, UnsupportedError where the server or the programs are older than the dump. Then, and
 * with every other error, what was there is as it was.
 */
export async function restorePostgres(
  where: string | PostgresAddress,
  content: PostgresContent,
  options: RestorePostgresOptions = {},
): Promise<void> {
  const environment = { ...process.env, ...options.env };
  const address = typeof where === "string" ? parsePostgresUrl(where, environment) : where;
  await using client = await PostgresClient.open(address, options);
  const target = await inspectTarget(client, content, options);
  const isCreated = !target.isThere;
  if (isCreated) await inMaintenance(client, (session) => session.lines(createStatement(address, content)));
  try {
    const { onCreated } = options;
    if (isCreated && onCreated) await inMaintenance(client, onCreated);
    const inParallel =
      content.directory !== undefined && (options.jobs ?? 1) > 1 && options.mode !== "in-place";
    if (inParallel) await new Restore(client, content, target).runInParallel(options.jobs ?? 1);
    else await new Restore(client, content, target).runScript(options);
    await using session = await client.session();
    await session.lines("ANALYZE;");
  } catch (error) {
    if (isCreated) await dropAfter(client, error);
    throw error;
  }
}

/** Drops a database of the address's server. None there is fine. */
export async function dropPostgres(client: PostgresClient, database: string): Promise<void> {
  await inMaintenance(client, (session) => session.lines(`DROP DATABASE IF EXISTS ${quoteName(database)};`));
}

async function dropAfter(client: PostgresClient, error: unknown): Promise<void> {
  const { uri, database } = client.address;
  try {
    await dropPostgres(client, database);
  } catch (dropError) {
    throw new RestoreError(
      `The restore into ${uri} failed, and the database that it had made could not be dropped: it is incomplete, and must be dropped by hand.`,
      { restoreError: error, workError: dropError, backupPath: uri },
    );
  }
}

/** @throws as `restorePostgres`, for all that can be told without a change. */
export async function inspectTarget(
  client: PostgresClient,
  { facts, format, programMajor }: Pick<PostgresContent, "facts" | "format" | "programMajor">,
  { mode = "new" }: RestorePostgresOptions,
): Promise<Target> {
  const { uri } = client.address;
  if (format !== "sql") await client.program("pg_restore", programMajor, "dump");
  const there = await tryConnect(client);
  if (there === undefined) {
    const { serverMajor } = await inMaintenance(client, readFacts);
    assertNewEnough(facts, serverMajor, uri);
    if (mode === "in-place")
      throw new ValidationError(`There is no database ${uri} to restore into in place.`);
    return { serverMajor, isThere: false };
  }
  await using session = there;
  const { serverMajor } = await readFacts(session);
  assertNewEnough(facts, serverMajor, uri);
  if (mode === "new" && !(await isEmpty(session))) {
    throw new ValidationError(
      `The database ${uri} is not empty. Name one that is not there or is empty, or restore in place, which replaces what the dump has.`,
    );
  }
  return { serverMajor, isThere: true };
}

function assertNewEnough(facts: PostgresFacts, serverMajor: number, uri: string): void {
  if (serverMajor >= facts.serverMajor) return;
  throw new UnsupportedError(
    `The dump is of PostgreSQL ${facts.serverMajor}, and the server of ${uri} is ${serverMajor}: the older server does not know everything that may be in it. Restore on a server of ${facts.serverMajor} or newer.`,
  );
}

/** Undefined where there is no such database. */
async function tryConnect(client: PostgresClient): Promise<PsqlSession | undefined> {
  try {
    return await client.session();
  } catch (error) {
    if (error instanceof ValidationError) return undefined;
    throw error;
  }
}

/** Works in a session with the address's server, in a database that every server has. */
export async function inMaintenance<T>(
  client: PostgresClient,
  work: (session: PsqlSession) => Promise<T>,
): Promise<T> {
  let session: PsqlSession | undefined;
  for (const database of MAINTENANCE) {
    try {
      session = await client.session({ database });
      break;
    } catch (error) {
      if (database === MAINTENANCE.at(-1)) throw error;
    }
  }
  await using held = session;
  if (!held)
    throw new UnsupportedError(
      `${client.address.uri}: none of the server's own databases can be connected to.`,
    );
  return await work(held);
}

/** Whether users have made nothing in it but extensions. */
async function isEmpty(session: PsqlSession): Promise<boolean> {
  const [count] = await session.rows<number>(
    `SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
+ (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'));`,
  );
  return count === 0;
}

function createStatement({ database }: PostgresAddress, { facts }: PostgresContent): string {
  const { encoding, collate, ctype } = facts;
  return `CREATE DATABASE ${quoteName(database)} TEMPLATE template0 ENCODING ${quoteText(encoding)} LC_COLLATE ${quoteText(collate)} LC_CTYPE ${quoteText(ctype)};`;
}

class Restore {
  readonly #client: PostgresClient;
  readonly #content: PostgresContent;
  readonly #target: Target;

  constructor(client: PostgresClient, content: PostgresContent, target: Target) {
    this.#client = client;
    this.#content = content;
    this.#target = target;
  }

  /** By psql, in one transaction, which it ends well only when all has come and is what it should be. */
  async runScript({ mode, lockTimeoutMs = LOCK_TIMEOUT_MS }: RestorePostgresOptions): Promise<void> {
    const program = await this.#client.program("psql", undefined);
    const options = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"];
    await using running = this.#client.run(program.path, [
      ...options,
      "--single-transaction",
      "--output=/dev/null",
      "--file=-",
    ]);
    running.output.resume();
    await using script = await this.#script(mode === "in-place");
    await running.write(`SET lock_timeout = ${Math.ceil(lockTimeoutMs)};\n`);
    await this.#feed(running, program, script.read());
    const ending = await running.ended();
    if (ending.code !== 0) throw this.#failure(program, inWords(ending), running.said);
  }

  async #feed(
    running: RunningProgram,
    program: FoundProgram,
    script: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const key = knowsRestrict(program) ? randomBytes(16).toString("hex") : undefined;
    if (key) await running.write(`\\restrict ${key}\n`);
    // What is thrown on the way kills psql, and the server rolls back.
    for await (const piece of plainScript(script, this.#target.serverMajor)) {
      if (!(await running.write(piece))) return;
    }
    if (key) await running.write(`\n\\unrestrict ${key}\n`);
    for (const table of this.#content.tables) await running.write(`\n${rowsCheck(table)}\n`);
    running.endInput();
  }

  async #script(isInPlace: boolean): Promise<AsyncDisposable & { read(): AsyncIterable<Uint8Array> }> {
    const { format, directory, programMajor } = this.#content;
    const content = this.#content.read;
    if (format === "sql" && content) return { read: content, [Symbol.asyncDispose]: async () => undefined };
    const program = await this.#client.program("pg_restore", programMajor, "dump");
    const clean = isInPlace ? ["--clean", "--if-exists"] : [];
    const running = this.#client.run(program.path, ["--file=-", ...clean, ...(directory ? [directory] : [])]);
    return {
      read: () => this.#converted(running, program, directory ? undefined : content?.()),
      [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
    };
  }

  /** An archive as a script. */
  async *#converted(
    running: RunningProgram,
    program: FoundProgram,
    archive: AsyncIterable<Uint8Array> = none(),
  ): AsyncGenerator<Uint8Array> {
    const failure: { error?: unknown } = {};
    const feeding = (async () => {
      for await (const piece of archive) {
        // It may need nothing of the archive's end; whether that is as it was is still to be seen.
        if (!(await running.write(piece)) && (await running.ended()).code !== 0) break;
      }
      running.endInput();
    })().catch((error: unknown) => {
      failure.error = error;
      running.kill();
    });
    for await (const piece of running.read()) yield piece;
    await feeding;
    if ("error" in failure) throw failure.error;
    const ending = await running.ended();
    if (ending.code !== 0) throw this.#failure(program, inWords(ending), running.said);
  }

  /** By several connections of pg_restore, into a database that goes where this fails. */
  async runInParallel(jobs: number): Promise<void> {
    const { programMajor, directory = "" } = this.#content;
    const program = await this.#client.program("pg_restore", programMajor, "dump");
    const args = ["--dbname=", "--no-password", "--exit-on-error", `--jobs=${jobs}`, directory];
    await using running = this.#client.run(program.path, args);
    running.endInput();
    running.output.resume();
    const ending = await running.ended();
    if (ending.code !== 0) throw this.#failure(program, inWords(ending), running.said);
    await using session = await this.#client.session();
    for (const table of this.#content.tables) {
      await session.lines(rowsCheck(table)).catch((error: unknown) => {
        throw this.#failure(program, "had no error", reasonOf(error));
      });
    }
  }

  #failure({ path }: FoundProgram, how: string, said: string): BackupError {
    const { uri } = this.#client.address;
    const what = `${path} did not restore into ${uri} and ${how}`;
    return said.includes(ROWS_DIFFER) ? new CorruptError(`${what}: ${said}`) : postgresFailure(what, said);
  }
}

async function* none(): AsyncGenerator<Uint8Array> {
  // A directory is read from the disk.
}

/** Fails, and with it the transaction, where a table has another number of rows. */
function rowsCheck({ schema, name, rows }: PostgresContent["tables"][number]): string {
  const tag = `$rows${randomBytes(8).toString("hex")}$`;
  const count = `(SELECT count(*) FROM ONLY ${quoteName(schema)}.${quoteName(name)})`;
  const message = quoteText(`${`${schema}.${name}`.replaceAll("%", "%%")}: ${ROWS_DIFFER}, %, but %`);
  return `DO ${tag} BEGIN IF ${count} <> ${rows} THEN RAISE EXCEPTION ${message.trimStart()}, ${rows}, ${count}; END IF; END ${tag};`;
}
