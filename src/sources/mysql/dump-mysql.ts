import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { CorruptError, ValidationError } from "../../errors.ts";
import { toIoError } from "../../fs/io.ts";
import type { FoundProgram } from "../programs/find-programs.ts";
import { matchesAny } from "../programs/match-names.ts";
import { inWords, type RunningProgram } from "../programs/run-program.ts";
import { RowCounter } from "./insert-lines.ts";
import { type MysqlAddress, parseMysqlUrl } from "./mysql-address.ts";
import { type Flavor, flavorOf, MysqlClient, type MysqlClientOptions, quoteName } from "./mysql-client.ts";
import { mysqlFailure } from "./mysql-failure.ts";

export interface DumpMysqlOptions extends MysqlClientOptions {
  /** Names and patterns, with `*` and `?`. Default: all tables and views. */
  readonly tables?: readonly string[] | undefined;
  readonly excludeTables?: readonly string[] | undefined;
}

/** What a server is, and a database on it. */
export interface MysqlFacts {
  /** `10.11.19-MariaDB-0+deb12u1`. */
  readonly serverVersion: string;
  readonly charset: string;
  readonly collation: string;
}

/** A table, or a view. */
interface Relation {
  readonly name: string;
  /** 1 or 0, as servers of all versions have it. */
  readonly isTable: number | boolean;
  /** Whether its rows are of the dump's transaction. */
  readonly isTransactional: number | boolean;
}

/** The last line of a dump. */
const END = /\n-- Dump completed(?: on [-0-9: ]+)?\s*$/;
const KEPT_BYTES = 256;

/** How long a row, or what a statement restores, may be. */
const MOST_BYTES = "1G";

/**
 * A database as it was at one moment, being dumped: the dump program's transaction has begun, and its output is held on the disk until it is
 * asked for, since the server cuts off who does not read for a minute.
 */
export class MysqlDump implements AsyncDisposable {
  readonly capturedAt = new Date();
  readonly facts: MysqlFacts & {
    /** Of the database on the server, about. */
    readonly bytes: number;
  };
  readonly program: FoundProgram;
  /** Names of tables that are dumped, and of tables that are not. */
  readonly tables: readonly string[];
  readonly leftOut: readonly string[];
  /** Tables whose rows are not of the same moment. */
  readonly notTransactional: readonly string[];
  readonly #client: MysqlClient;
  readonly #output: HeldOutput;
  readonly #dumping: RunningProgram;
  readonly #counter = new RowCounter();

  private constructor(
    held: Pick<MysqlDump, "facts" | "program" | "tables" | "leftOut" | "notTransactional">,
    client: MysqlClient,
    dumping: RunningProgram,
  ) {
    this.facts = held.facts;
    this.program = held.program;
    this.tables = held.tables;
    this.leftOut = held.leftOut;
    this.notTransactional = held.notTransactional;
    this.#client = client;
    this.#dumping = dumping;
    this.#output = new HeldOutput(dumping.read(), join(client.directory, "held.sql"));
  }

  /**
   * Starts the dump, and returns when its moment has come.
   *
   * @throws UnsupportedError where there is no program. @throws IoError where the server is not there, or does not let the user in
   * (`EACCES`). @throws ValidationError where there is no such database, or no such table.
   */
  static async begin(where: string | MysqlAddress, options: DumpMysqlOptions = {}): Promise<MysqlDump> {
    const environment = { ...process.env, ...options.env };
    const address = typeof where === "string" ? parseMysqlUrl(where, environment) : where;
    const client = await MysqlClient.open(address, options);
    try {
      return await MysqlDump.#begin(client, options);
    } catch (error) {
      await client[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Looks whether it could be dumped: has the structure dumped, without a row, and each table asked for none of its rows.
   *
   * @throws as `begin`; IoError (`EACCES`) where the user may not read.
   */
  static async check(
    address: MysqlAddress,
    options: DumpMysqlOptions,
  ): Promise<Pick<MysqlDump, "facts" | "program" | "tables">> {
    await using client = await MysqlClient.open(address, options);
    const { facts, program, selected } = await planDump(client, options);
    const { database, uri } = address;
    await using dumping = client.run(program, ["--no-data", ...dumpArguments(program, database, selected)]);
    dumping.endInput();
    for await (const _piece of dumping.read());
    const ending = await dumping.ended();
    if (ending.code !== 0)
      throw mysqlFailure(`${program.path} could not dump ${uri}, ${inWords(ending)}`, dumping.said);
    const tables = namesOf(selected.taken);
    const none = (name: string) => `SELECT 1 FROM ${quoteName(name)} LIMIT 0;`;
    if (tables.length > 0) await client.rows(tables.map(none).join("\n"), { database });
    return { facts, program, tables };
  }

  static async #begin(client: MysqlClient, options: DumpMysqlOptions): Promise<MysqlDump> {
    const { database } = client.address;
    const { facts, relations, selected, program } = await planDump(client, options);
    const dumping = client.run(program, dumpArguments(program, database, selected));
    dumping.endInput();
    const isTaken = new Set(selected.taken);
    const dump = new MysqlDump(
      {
        ...{ facts, program, tables: namesOf(selected.taken) },
        leftOut: namesOf(relations.filter((relation) => !isTaken.has(relation))),
        notTransactional: namesOf(selected.taken.filter(({ isTransactional }) => !isTransactional)),
      },
      client,
      dumping,
    );
    await dump.#output.first();
    return dump;
  }

  /** The dump. Ends without an error only where it is whole: the program has said so, and its last line is there. */
  async *read(): AsyncGenerator<Uint8Array> {
    let last: Buffer = Buffer.alloc(0);
    for await (const piece of this.#output.read()) {
      this.#counter.pass(piece);
      last = Buffer.concat([last, piece.subarray(-KEPT_BYTES)]).subarray(-KEPT_BYTES);
      yield piece;
    }
    const ending = await this.#dumping.ended();
    const { path } = this.program;
    const { uri } = this.#client.address;
    if (ending.code !== 0) {
      throw mysqlFailure(`${path} did not dump ${uri} and ${inWords(ending)}`, this.#dumping.said);
    }
    if (!END.test(last.toString("latin1"))) {
      throw new CorruptError(
        `The dump of ${uri} is not complete, although ${path} reported success: its end is missing.`,
      );
    }
  }

  /** How many rows of each table the dump has, when it was read. */
  get rows(): ReadonlyMap<string, number> {
    const { rows } = this.#counter;
    return new Map(this.tables.map((table) => [table, rows.get(table) ?? 0]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#dumping[Symbol.asyncDispose]();
      await this.#output[Symbol.asyncDispose]();
    } finally {
      await this.#client[Symbol.asyncDispose]();
    }
  }
}

async function planDump(client: MysqlClient, options: DumpMysqlOptions) {
  const { database, uri } = client.address;
  const [facts] = await client.rows<MysqlDump["facts"]>(FACTS, { database });
  if (!facts) throw new ValidationError(`The server does not know ${uri}.`);
  const relations = await client.rows<Relation>(RELATIONS, { database });
  const selected = selectRelations(relations, options);
  return { facts, relations, selected, program: await client.program("dump", serverFlavor(facts)) };
}

const namesOf = (some: readonly Relation[]) => some.filter(({ isTable }) => isTable).map(({ name }) => name);

export function serverFlavor({ serverVersion }: Pick<MysqlFacts, "serverVersion">): Flavor {
  return serverVersion.includes("MariaDB") ? "mariadb" : "mysql";
}

const FACTS = `SELECT JSON_OBJECT('serverVersion', VERSION(), 'charset', DEFAULT_CHARACTER_SET_NAME, 'collation', DEFAULT_COLLATION_NAME,
'bytes', (SELECT CAST(COALESCE(SUM(DATA_LENGTH), 0) AS UNSIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()))
FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE();`;

const RELATIONS = `SELECT JSON_OBJECT('name', t.TABLE_NAME, 'isTable', t.TABLE_TYPE <> 'VIEW', 'isTransactional', COALESCE(e.TRANSACTIONS, 'YES') = 'YES')
FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE <> 'SEQUENCE' ORDER BY t.TABLE_NAME;`;

interface Selected {
  readonly taken: readonly Relation[];
  readonly excluded: readonly Relation[];
  readonly isAll: boolean;
}

function selectRelations(
  relations: readonly Relation[],
  { tables, excludeTables = [] }: DumpMysqlOptions,
): Selected {
  for (const pattern of tables ?? []) {
    if (relations.some(({ name }) => matchesAny([pattern], name))) continue;
    throw new ValidationError(`The database has no table ${JSON.stringify(pattern)}.`);
  }
  const wanted = relations.filter(({ name }) => tables === undefined || matchesAny(tables, name));
  const excluded = wanted.filter(({ name }) => matchesAny(excludeTables, name));
  return { taken: wanted.filter((one) => !excluded.includes(one)), excluded, isAll: tables === undefined };
}

/** @internal What a dump program is told. */
export function dumpArguments(
  program: FoundProgram,
  database: string,
  { taken, excluded, isAll }: Selected,
): string[] {
  const isMysql = flavorOf(program) === "mysql";
  return [
    // One moment for all tables that have transactions, and no lock.
    "--single-transaction",
    "--quick",
    "--triggers",
    // A choice of tables is of tables alone.
    ...(isAll ? ["--routines", "--events"] : []),
    "--hex-blob",
    "--default-character-set=utf8mb4",
    // The same data are the same bytes, and a row that changed moves no other.
    "--skip-dump-date",
    "--skip-extended-insert",
    // What asks for a right that nobody needs who reads one database.
    "--no-tablespaces",
    `--max-allowed-packet=${MOST_BYTES}`,
    ...(isMysql ? ["--set-gtid-purged=OFF"] : []),
    ...(isMysql && program.major >= 8 ? ["--column-statistics=0"] : []),
    ...excluded.map(({ name }) => `--ignore-table=${database}.${name}`),
    // What comes now is no option, whatever it looks like.
    "--",
    database,
    ...(isAll ? [] : taken.map(({ name }) => name)),
  ];
}

/** What a program writes, on the disk until it is wanted, and then straight. */
class HeldOutput implements AsyncDisposable {
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #path: string;
  readonly #holding: Promise<void>;
  #onFirst: () => void = () => undefined;
  readonly #first = new Promise<void>((resolve) => {
    this.#onFirst = resolve;
  });
  #isWanted = false;
  #isAtEnd = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(pieces: AsyncIterator<Uint8Array>, path: string) {
    this.#pieces = pieces;
    this.#path = path;
    this.#holding = this.#hold()
      .catch((error: unknown) => {
        this.#failure = { error };
      })
      .finally(() => this.#onFirst());
  }

  /** Resolves when there is something of it, or it has ended. */
  first(): Promise<void> {
    return this.#first;
  }

  async #hold(): Promise<void> {
    let file: FileHandle | undefined;
    try {
      file = await open(this.#path, "wx", 0o600);
      while (!this.#isWanted) {
        const { done = false, value } = await this.#pieces.next();
        this.#isAtEnd = done;
        if (done) return;
        await file.appendFile(value);
        this.#onFirst();
      }
    } catch (error) {
      throw toIoError(error, "write", this.#path);
    } finally {
      await file?.close();
    }
  }

  async *read(): AsyncGenerator<Uint8Array> {
    this.#isWanted = true;
    await this.#holding;
    if (this.#failure) throw this.#failure.error;
    for await (const piece of createReadStream(this.#path)) yield piece as Buffer;
    while (!this.#isAtEnd) {
      const { done = false, value } = await this.#pieces.next();
      this.#isAtEnd = done;
      if (!done) yield value as Uint8Array;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isWanted = true;
    await this.#holding;
  }
}
