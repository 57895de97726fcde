import { describe, expect, test } from "vitest";
import { PostgresDump, type PostgresFormat } from "../../../src/sources/postgresql/dump-postgres.ts";
import { restorePostgres } from "../../../src/sources/postgresql/restore-postgres.ts";
import { dumpTables } from "../../support/postgres-content.ts";
import { usePostgres, whyNoPostgres } from "../../support/sql-servers.ts";

const reason = whyNoPostgres();
if (reason) console.warn(reason);

describe.skipIf(reason)("a dump of PostgreSQL", () => {
  const server = usePostgres();

  test.each(["sql", "custom", "tar", "directory"] as PostgresFormat[])("as %s comes back", async (format) => {
    const from = await server.create();
    await server.run(from, SCHEMA);
    await using dump = await PostgresDump.begin(server.url(from), { format, jobs: 2 });
    const counted = await dump.countRows();
    const tables = dump.selected.tables.map((table) => ({
      ...table,
      rows: counted.get(`${table.schema}.${table.name}`) ?? 0,
    }));
    const { facts, program } = dump;
    const directory = format === "directory" ? await dump.writeDirectory() : undefined;
    const pieces: Uint8Array[] = [];
    if (!directory) for await (const piece of dump.read()) pieces.push(piece);
    const content = {
      ...{ format, facts, programMajor: program.major, tables, directory },
      ...(!directory && {
        read: async function* () {
          yield* pieces;
        },
      }),
    };
    const to = `restored "$(x) ${format}`;
    await restorePostgres(server.url(to), content, { jobs: 2 });
    expect(await dumpTables(server, to)).toEqual(await dumpTables(server, from));
    await server.run(to, "DELETE FROM items WHERE id < 50; CREATE TABLE later (x int)");
    await restorePostgres(server.url(to), content, { mode: "in-place" });
    expect(await dumpTables(server, to)).toEqual({ ...(await dumpTables(server, from)), "public.later": "" });
  });
});

const SCHEMA = `
CREATE TABLE items (id int PRIMARY KEY, name text, payload bytea, at timestamptz, vector float8[]);
INSERT INTO items SELECT i, 'name ' || i || E' \\\\ '' \\n \\t é日', decode(md5(i::text), 'hex'), now(), ARRAY[i, 'NaN'::float8, '-Infinity'] FROM generate_series(1, 1000) i;
CREATE SCHEMA "Odd ""schema"" %s";
CREATE TABLE "Odd ""schema"" %s"."a.b;'\\ --" (x int);
INSERT INTO "Odd ""schema"" %s"."a.b;'\\ --" SELECT generate_series(1, 7);
CREATE TABLE parts (at date) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
INSERT INTO parts VALUES ('2025-01-01');
CREATE VIEW named AS SELECT name FROM items;
CREATE FUNCTION twice(x int) RETURNS int LANGUAGE sql AS 'SELECT 2 * x';
CREATE INDEX ON items (name);
SELECT lo_from_bytea(0, 'large');
`;
