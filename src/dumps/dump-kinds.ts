import { createReadStream } from "node:fs";
import { basename } from "node:path";
import type { JsonObject } from "../engine/snapshot.ts";
import { isNotFound, ValidationError } from "../errors.ts";
import { Fields } from "../fs/fields.ts";
import { MysqlDump } from "../sources/mysql/dump-mysql.ts";
import { parseMysqlUrl } from "../sources/mysql/mysql-address.ts";
import { restoreMysql } from "../sources/mysql/restore-mysql.ts";
import { PostgresDump } from "../sources/postgresql/dump-postgres.ts";
import { parsePostgresUrl } from "../sources/postgresql/postgres-address.ts";
import { type PostgresContent, restorePostgres } from "../sources/postgresql/restore-postgres.ts";
import { restoreDatabaseFile } from "../sources/sqlite/restore-sqlite.ts";
import { SqliteCopy } from "../sources/sqlite/sqlite-copy.ts";
import { databaseFile, isSqliteUrl, sqlitePath, sqliteUri } from "../sources/sqlite/sqlite-path.ts";
import { BackupFormat, type DumpType } from "./backup-format.ts";
import type { DumpRecord } from "./backup-manifest.ts";
import { readDump } from "./dump-files.ts";

/** A database at one moment, to be dumped. */
interface Dump extends AsyncDisposable {
  readonly type: DumpType;
  readonly format: BackupFormat;
  readonly databaseName: string;
  /** Without a password. */
  readonly databaseUrl: string;
  /** What its file's name ends in. */
  readonly extension: string;
  /** What is not as one would expect, for the log. */
  readonly notes?: readonly string[] | undefined;
  /** Its bytes, checked; where it is no directory. */
  read?(): AsyncIterable<Uint8Array>;
  writeDirectory?(path: string): Promise<unknown>;
  /** What a restore needs to know; when all was read. */
  details(): JsonObject;
}

export interface DumpOptions {
  readonly format?: BackupFormat | undefined;
  readonly compact?: boolean | undefined;
  /** How long to wait for transactions of others, milliseconds. */
  readonly lockTimeoutMs: number;
  readonly timeoutMs?: number | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly binDir?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type RestoreOptions = Pick<DumpOptions, "env" | "binDir" | "signal">;

/** A kind of database that can be dumped. */
export interface DumpKind {
  readonly type: DumpType;
  begin(url: string, options: DumpOptions): Promise<Dump>;
  /** Replaces what the dump has of the database at the address; makes the database where there is none. */
  restore(record: DumpRecord, path: string, url: string, options: RestoreOptions): Promise<void>;
}

/** A database that nobody has open is read without a lock; where somebody comes meanwhile, it is read again with one. */
const MOST_COPIES = 10;

const SQLITE_DUMPS: DumpKind = {
  type: "sqlite",
  async begin(url, { compact, lockTimeoutMs, timeoutMs, signal }) {
    const path = databaseFile(sqlitePath(url));
    const copy = await copySqlite(path, { compact, lockTimeoutMs, timeoutMs, signal });
    return {
      type: "sqlite",
      format: BackupFormat.Custom,
      databaseName: basename(path),
      databaseUrl: sqliteUri(path),
      extension: "db",
      read: () => createReadStream(copy.file),
      details: () => ({}),
      [Symbol.asyncDispose]: () => copy[Symbol.asyncDispose](),
    };
  },
  async restore(record, path, url, { signal }) {
    const { bytes: size, sha256 } = record.content ?? { bytes: record.sizeBytes, sha256: record.checksum };
    const content = { size, sha256, mode: undefined, name: path, read: () => readDump(path, record) };
    await restoreDatabaseFile({ content, target: sqlitePath(url), mode: "in-place", signal });
  },
};

async function copySqlite(
  path: string,
  request: Pick<DumpOptions, "compact" | "lockTimeoutMs" | "timeoutMs" | "signal">,
): Promise<AsyncDisposable & { readonly file: string }> {
  for (let attempt = 1; ; attempt++) {
    const copy = await SqliteCopy.hold(path, { ...request, unlocked: attempt === 1 });
    try {
      await copy.write();
      const { file } = await copy.check();
      return { file, [Symbol.asyncDispose]: () => copy[Symbol.asyncDispose]() };
    } catch (error) {
      await copy[Symbol.asyncDispose]();
      if (!isNotFound(error) || attempt === MOST_COPIES) throw error;
    }
  }
}

const EXTENSIONS: Readonly<Record<BackupFormat, string>> = {
  sql: "sql",
  custom: "dump",
  directory: "dir",
  tar: "tar",
};

const POSTGRES_DUMPS: DumpKind = {
  type: "postgresql",
  async begin(url, { format = BackupFormat.Custom, env, binDir, signal }) {
    const address = parsePostgresUrl(url, { ...process.env, ...env });
    const dump = await PostgresDump.begin(address, { format, env, binDir, signal });
    try {
      const { facts, program, selected } = dump;
      const rows = await dump.countRows();
      const tables = selected.tables.flatMap(({ schema, name }) => {
        const count = rows.get(`${schema}.${name}`);
        return count === undefined ? [] : [{ schema, name, rows: count }];
      });
      return {
        type: "postgresql",
        format,
        databaseName: address.database,
        databaseUrl: address.uri,
        extension: EXTENSIONS[format],
        ...(format === BackupFormat.Directory
          ? { writeDirectory: (path: string) => dump.writeDirectory(path) }
          : { read: () => dump.read() }),
        details: () => ({ programMajor: program.major, facts, tables }),
        [Symbol.asyncDispose]: () => dump[Symbol.asyncDispose](),
      };
    } catch (error) {
      await dump[Symbol.asyncDispose]();
      throw error;
    }
  },
  async restore(record, path, url, options) {
    const content = postgresContent(record, path);
    try {
      await restorePostgres(url, content, { ...options, mode: "new" });
    } catch (error) {
      // It is there, and holds something: nothing has been changed.
      if (!(error instanceof ValidationError)) throw error;
      await restorePostgres(url, content, { ...options, mode: "in-place" });
    }
  },
};

function postgresContent(record: DumpRecord, path: string): PostgresContent {
  const fields = new Fields(record.details, path, "details");
  const facts = fields.object("facts");
  const tables = fields.objects("tables").map((table) => ({
    schema: table.text("schema"),
    name: table.text("name"),
    rows: table.count("rows"),
  }));
  return {
    format: record.format,
    programMajor: fields.count("programMajor"),
    facts: {
      serverVersion: facts.text("serverVersion"),
      serverMajor: facts.count("serverMajor"),
      encoding: facts.text("encoding"),
      collate: facts.text("collate"),
      ctype: facts.text("ctype"),
    },
    tables,
    ...(record.format === BackupFormat.Directory
      ? { directory: path }
      : { read: () => readDump(path, record) }),
  };
}

/** Servers of this kind take back no table that was made or dropped: a restore goes into a database that is new or empty. */
const MYSQL_DUMPS: DumpKind = {
  type: "mysql",
  async begin(url, { env, binDir, signal }) {
    const address = parseMysqlUrl(url, { ...process.env, ...env });
    const dump = await MysqlDump.begin(address, { env, binDir, signal });
    return {
      type: "mysql",
      format: BackupFormat.Sql,
      databaseName: address.database,
      databaseUrl: address.uri,
      extension: EXTENSIONS.sql,
      notes: dump.notTransactional.map(
        (table) => `${table} has no transactions: its rows are not of the dump's moment`,
      ),
      read: () => dump.read(),
      details: () => {
        const { serverVersion, charset, collation } = dump.facts;
        const tables = Array.from(dump.rows, ([name, rows]) => ({ name, rows }));
        return { facts: { serverVersion, charset, collation }, tables };
      },
      [Symbol.asyncDispose]: () => dump[Symbol.asyncDispose](),
    };
  },
  async restore(record, path, url, options) {
    const fields = new Fields(record.details, path, "details");
    const facts = fields.object("facts");
    const content = {
      facts: {
        serverVersion: facts.text("serverVersion"),
        charset: facts.text("charset"),
        collation: facts.text("collation"),
      },
      rows: new Map(fields.objects("tables").map((table) => [table.text("name"), table.count("rows")])),
      read: () => readDump(path, record),
    };
    await restoreMysql(url, content, options);
  },
};

const KINDS: readonly (readonly [RegExp, DumpKind])[] = [
  [/^postgres(ql)?:/i, POSTGRES_DUMPS],
  [/^(mysql|mariadb):/i, MYSQL_DUMPS],
];

/** @throws ValidationError for an address of another kind, without its password. */
export function dumpKindOf(url: string): DumpKind {
  if (isSqliteUrl(url)) return SQLITE_DUMPS;
  const found = KINDS.find(([scheme]) => scheme.test(url));
  if (found) return found[1];
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0] ?? "an address without a scheme";
  throw new ValidationError(
    `${scheme} is not a database that can be dumped; these are: sqlite:, postgresql:, mysql: and mariadb:.`,
  );
}

export const DUMP_KINDS: Readonly<Record<DumpType, DumpKind>> = {
  sqlite: SQLITE_DUMPS,
  postgresql: POSTGRES_DUMPS,
  mysql: MYSQL_DUMPS,
};
