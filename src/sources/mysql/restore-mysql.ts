import { CorruptError, RestoreError, UnsupportedError, ValidationError } from "../../errors.ts";
import { inWords } from "../programs/run-program.ts";
import { type MysqlFacts, serverFlavor } from "./dump-mysql.ts";
import { joinInserts } from "./insert-lines.ts";
import { type MysqlAddress, parseMysqlUrl } from "./mysql-address.ts";
import { MysqlClient, type MysqlClientOptions, quoteName } from "./mysql-client.ts";
import { mysqlFailure } from "./mysql-failure.ts";

/** A dump that is to be restored. */
export interface MysqlContent {
  /** Of the server that it was taken from. */
  readonly facts: MysqlFacts;
  /** Of each table: compared with what has come back. */
  readonly rows: ReadonlyMap<string, number>;
  /** Its bytes; throws at their end at the latest where they are not those of the dump. */
  read(): AsyncIterable<Uint8Array>;
}

export interface RestoreMysqlOptions extends MysqlClientOptions {
  /** `new`: the database is not there, or is empty. There is no other: servers of this kind take back no table that was made or dropped. */
  readonly mode?: "new" | "in-place" | undefined;
}

/**
 * Restores a dump into a database that is made for it, or is there and empty. Where it fails, the database is dropped (and an empty one made in the
 * place of one that was there). Rows are counted.
 *
 * @throws ValidationError where the database holds something. @throws UnsupportedError for a restore in place.
 */
export async function restoreMysql(
  where: string | MysqlAddress,
  content: MysqlContent,
  options: RestoreMysqlOptions = {},
): Promise<void> {
  const environment = { ...process.env, ...options.env };
  const address = typeof where === "string" ? parseMysqlUrl(where, environment) : where;
  await using client = await MysqlClient.open(address, options);
  const before = await inspectTarget(client, options);
  if (!before) await client.rows(createStatement(address.database, content.facts));
  try {
    await run(client, content);
    await assertRows(client, content.rows);
  } catch (error) {
    await undo(client, before, error);
    throw error;
  }
}

/** What is at the target, before anything is changed: undefined where there is no such database. @throws as `restoreMysql` */
export async function inspectTarget(
  client: MysqlClient,
  { mode = "new" }: RestoreMysqlOptions,
): Promise<MysqlFacts | undefined> {
  const { uri, database } = client.address;
  if (mode !== "new") {
    throw new UnsupportedError(
      `MySQL and MariaDB cannot roll back created or dropped tables, so a restore in place could end half-way. Restore ${uri} beside it, under another name, and rename.`,
    );
  }
  const [there] = await client.rows<MysqlFacts & { readonly contents: number }>(
    `SELECT JSON_OBJECT('serverVersion', VERSION(), 'charset', DEFAULT_CHARACTER_SET_NAME, 'collation', DEFAULT_COLLATION_NAME,
'contents', (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = SCHEMA_NAME)
+ (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = SCHEMA_NAME)
+ (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = SCHEMA_NAME))
FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${quoteText(database)};`,
  );
  if (there && there.contents > 0) {
    throw new ValidationError(`The database ${uri} is not empty. Name one that is not there or is empty.`);
  }
  return there;
}

/** Drops a database of the address's server. None there is fine. */
export async function dropMysql(client: MysqlClient, database: string): Promise<void> {
  await client.rows(`DROP DATABASE IF EXISTS ${quoteName(database)};`);
}

async function undo(client: MysqlClient, before: MysqlFacts | undefined, error: unknown): Promise<void> {
  const { uri, database } = client.address;
  try {
    await dropMysql(client, database);
    if (before) await client.rows(createStatement(database, before));
  } catch (dropError) {
    throw new RestoreError(
      `The restore into ${uri} failed, and the database could not be dropped: it is incomplete, and must be dropped by hand.`,
      { restoreError: error, workError: dropError, backupPath: uri },
    );
  }
}

async function run(client: MysqlClient, { facts, read }: MysqlContent): Promise<void> {
  const { uri, database } = client.address;
  const program = await client.program("client", serverFlavor(facts));
  await using running = client.run(program, [
    "--batch",
    // A script can have the client run programs and read files; so it cannot.
    "--binary-mode",
    "--local-infile=0",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
    `--database=${database}`,
  ]);
  running.output.resume();
  let isReading = true;
  for await (const piece of joinInserts(withoutSandbox(read()))) {
    isReading = await running.write(piece);
    if (!isReading) break;
  }
  running.endInput();
  const ending = await running.ended();
  if (ending.code === 0 && isReading) return;
  throw mysqlFailure(`${program.path} did not restore into ${uri} and ${inWords(ending)}`, running.said);
}

/** MariaDB's dumps begin with it. Other clients, and older ones of MariaDB, stop at it. */
const SANDBOX = /^\/\*M?!999999\\- enable the sandbox mode \*\/[ \t]*\r?\n/;
const HEAD_BYTES = 256;

/** A script without the line by which MariaDB's client is told to run no program. It is told so by an option. */
export async function* withoutSandbox(script: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  const plain = (bytes: Buffer) => Buffer.from(bytes.toString("latin1").replace(SANDBOX, ""), "latin1");
  for await (const piece of script) {
    if (!head) {
      yield piece;
      continue;
    }
    head = Buffer.concat([head, piece]);
    if (head.length < HEAD_BYTES) continue;
    yield plain(head);
    head = undefined;
  }
  if (head) yield plain(head);
}

async function assertRows(client: MysqlClient, rows: ReadonlyMap<string, number>): Promise<void> {
  const { database, uri } = client.address;
  const statements = [...rows.keys()].map((table) => `SELECT COUNT(*) FROM ${quoteName(table)};`);
  if (statements.length === 0) return;
  const counts = await client.rows<number>(statements.join("\n"), { database });
  for (const [index, [table, expected]] of [...rows].entries()) {
    if (counts[index] === expected) continue;
    throw new CorruptError(`${uri}: ${table} has ${counts[index]} rows, and the dump has ${expected}.`);
  }
}

function createStatement(database: string, { charset, collation }: MysqlFacts): string {
  return `CREATE DATABASE ${quoteName(database)} CHARACTER SET ${quoteText(charset)} COLLATE ${quoteText(collation)};`;
}

function quoteText(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}
