import { ValidationError } from "../../errors.ts";
import { matchesAny } from "../programs/match-names.ts";
import { type PsqlSession, quoteName } from "./psql-session.ts";

/** What a server is, and a database on it. */
export interface PostgresFacts {
  /** `15.18 (Debian 15.18-0+deb12u1)`. */
  readonly serverVersion: string;
  readonly serverMajor: number;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
}

/** @throws as `PsqlSession.rows` */
export async function readFacts(session: PsqlSession): Promise<PostgresFacts> {
  const [facts] = await session.rows<Omit<PostgresFacts, "serverMajor"> & { number: string }>(
    `SELECT json_build_object('serverVersion', current_setting('server_version'), 'number', current_setting('server_version_num'),
'encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype) FROM pg_database WHERE datname = current_database();`,
  );
  if (!facts) throw new ValidationError("The server does not know the database that it is connected to.");
  const { number, ...rest } = facts;
  return { ...rest, serverMajor: Math.floor(Number(number) / 10_000) };
}

export interface PostgresTable {
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relkind`: r for a table, p for one of partitions, v, m, f, S. */
  readonly kind: string;
}

/** What users have made: no system's schema, nothing that belongs to an extension, nothing temporary. */
export function listRelations(session: PsqlSession): Promise<readonly PostgresTable[]> {
  return session.rows<PostgresTable>(
    `SELECT json_build_object('schema', n.nspname, 'name', c.relname, 'kind', c.relkind)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname;`,
  );
}

/** Ids of tables that the session's user may not read, or, by policies of the server, not every row of. */
export function listUnreadable(session: PsqlSession): Promise<readonly string[]> {
  return session.rows<string>(
    `SELECT to_json(n.nspname || '.' || c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND (NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_table_privilege(c.oid, 'SELECT') OR row_security_active(c.oid));`,
  );
}

/** `schema.table`. */
export function tableId({ schema, name }: Pick<PostgresTable, "schema" | "name">): string {
  return `${schema}.${name}`;
}

/** How many rows each table has, in the session's transaction. Reads every table. */
export async function countRows(
  session: PsqlSession,
  tables: readonly PostgresTable[],
): Promise<ReadonlyMap<string, number>> {
  const rows = new Map<string, number>();
  for (const table of tables) {
    const [count] = await session.rows<number>(
      `SELECT count(*) FROM ONLY ${quoteName(table.schema)}.${quoteName(table.name)};`,
    );
    rows.set(tableId(table), count ?? 0);
  }
  return rows;
}

/** Names and patterns, with `*` and `?`: `table` in whatever schema, or `schema.table`. */
export interface PostgresSelection {
  readonly schemas?: readonly string[] | undefined;
  readonly excludeSchemas?: readonly string[] | undefined;
  readonly tables?: readonly string[] | undefined;
  readonly excludeTables?: readonly string[] | undefined;
}

/** What a dump has of a database. */
export interface SelectedTables {
  /** Those whose rows are dumped. */
  readonly tables: readonly PostgresTable[];
  /** Ids of those that are left out. */
  readonly leftOut: readonly string[];
  /** For pg_dump: each name as it is. */
  readonly args: readonly string[];
}

/**
 * What of a database is dumped. Names are looked up here, and given to pg_dump as they are: so that it is known which tables
 * the dump has.
 *
 * @throws ValidationError for a name or pattern of what is wanted that nothing has.
 */
export function selectTables(
  relations: readonly PostgresTable[],
  { schemas, excludeSchemas = [], tables, excludeTables = [] }: PostgresSelection,
): SelectedTables {
  const inSchemas = relations.filter(
    ({ schema }) =>
      (schemas === undefined || matchesAny(schemas, schema)) && !matchesAny(excludeSchemas, schema),
  );
  const isNamed = (patterns: readonly string[], relation: PostgresTable) =>
    matchesAny(patterns, relation.name) || matchesAny(patterns, tableId(relation));
  const wanted = inSchemas.filter((relation) => tables === undefined || isNamed(tables, relation));
  const taken = wanted.filter((relation) => !isNamed(excludeTables, relation));
  const names = relations.flatMap((relation) => [relation.name, tableId(relation)]);
  for (const pattern of tables ?? []) assertMatches(pattern, names, "table");
  for (const pattern of schemas ?? [])
    assertMatches(
      pattern,
      relations.map(({ schema }) => schema),
      "schema",
    );
  const all = relations.filter(hasRows);
  const isTaken = new Set(taken);
  return {
    tables: taken.filter(hasRows),
    leftOut: all.filter((relation) => !isTaken.has(relation)).map(tableId),
    args: argumentsOf(tables === undefined ? undefined : taken, {
      relations,
      inSchemas,
      schemas,
      wanted,
      taken,
      excludeSchemas,
    }),
  };
}

interface Choice {
  readonly relations: readonly PostgresTable[];
  readonly inSchemas: readonly PostgresTable[];
  readonly schemas: readonly string[] | undefined;
  readonly wanted: readonly PostgresTable[];
  readonly taken: readonly PostgresTable[];
  readonly excludeSchemas: readonly string[];
}

function argumentsOf(tables: readonly PostgresTable[] | undefined, choice: Choice): string[] {
  const exactly = ({ schema, name }: PostgresTable) => `${quoteName(schema)}.${quoteName(name)}`;
  if (tables) return tables.map((table) => `--table=${exactly(table)}`);
  const { relations, inSchemas, schemas, wanted, taken, excludeSchemas } = choice;
  const schemasOf = (some: readonly PostgresTable[]) => [...new Set(some.map(({ schema }) => schema))];
  const excluded = schemasOf(relations).filter((schema) => matchesAny(excludeSchemas, schema));
  const isTaken = new Set(taken);
  return [
    ...(schemas ? schemasOf(inSchemas).map((schema) => `--schema=${quoteName(schema)}`) : []),
    ...excluded.map((schema) => `--exclude-schema=${quoteName(schema)}`),
    ...wanted.filter((table) => !isTaken.has(table)).map((table) => `--exclude-table=${exactly(table)}`),
  ];
}

function hasRows({ kind }: PostgresTable): boolean {
  return kind === "r";
}

function assertMatches(pattern: string, names: readonly string[], what: string): void {
  if (names.some((name) => matchesAny([pattern], name))) return;
  throw new ValidationError(`The database has no ${what} ${JSON.stringify(pattern)}.`);
}
