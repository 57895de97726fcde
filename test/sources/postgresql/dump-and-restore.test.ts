import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { CorruptError } from "../../../src/errors.ts";
import { PostgresDump, type PostgresFormat } from "../../../src/sources/postgresql/dump-postgres.ts";
import { type PostgresSelection, tableId } from "../../../src/sources/postgresql/postgres-catalog.ts";
import { type PostgresContent, restorePostgres } from "../../../src/sources/postgresql/restore-postgres.ts";
import { expireCertificate, newCertificate } from "../../support/certificate.ts";
import { dumpTables } from "../../support/postgres-content.ts";
import { usePostgres, whyNoPostgres } from "../../support/sql-servers.ts";

const reason = whyNoPostgres();
if (reason) console.warn(reason);

describe.skipIf(reason)("a dump of PostgreSQL", () => {
  const server = usePostgres({ tls: true });

  /** A dump that is whole, in memory or in a directory. */
  async function contentOf(database: string, format: PostgresFormat = "sql"): Promise<PostgresContent> {
    await using dump = await PostgresDump.begin(server.url(database), { format, jobs: 2 });
    const rows = await dump.countRows();
    const tables = dump.selected.tables.map((table) => ({ ...table, rows: rows.get(tableId(table)) ?? 0 }));
    const common = { format, facts: dump.facts, programMajor: dump.program.major, tables };
    if (format === "directory") {
      const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-test-"));
      onTestFinished(() => rmSync(directory, { recursive: true }));
      return { ...common, directory: await dump.writeDirectory(join(directory, "dump")) };
    }
    const pieces: Uint8Array[] = [];
    for await (const piece of dump.read()) pieces.push(piece);
    return { ...common, read: () => Readable.from(pieces) };
  }

  test.each(["sql", "custom", "tar", "directory"] as PostgresFormat[])("as %s comes back", async (format) => {
    const from = await server.create();
    await server.run(from, SCHEMA);
    const content = await contentOf(from, format);
    const to = `restored "$(x) ${format}`;
    await restorePostgres(server.url(to), content, { jobs: 2 });
    expect(await dumpTables(server, to)).toEqual(await dumpTables(server, from));
    // By ANALYZE: nothing else makes them here.
    expect(await server.run(to, "SELECT DISTINCT tablename FROM pg_stats WHERE tablename = 'items'")).toBe(
      "items",
    );
    await server.run(to, "DELETE FROM items WHERE id < 50; CREATE TABLE later (x int)");
    await restorePostgres(server.url(to), content, { mode: "in-place" });
    expect(await dumpTables(server, to)).toEqual({ ...(await dumpTables(server, from)), "public.later": "" });
  });

  describe("is not restored, and what was there is as it was,", () => {
    const isThere = async (name: string) =>
      (await server.run("postgres", `SELECT datname FROM pg_database WHERE datname = '${name}'`)) !== "";

    test("where the database holds something", async () => {
      const database = await server.create();
      await server.run(database, "CREATE TABLE t (x int)");
      const content = await contentOf(database);
      await expect(restorePostgres(server.url(database), content)).rejects.toMatchObject({
        code: "VALIDATION",
      });
    });

    test("where the server, or the programs, are older than the dump", async () => {
      const database = await server.create();
      await server.run(database, "CREATE TABLE t (x int)");
      const content = await contentOf(database);
      const newer = { ...content, facts: { ...content.facts, serverMajor: 99 } };
      await expect(restorePostgres(server.url("older"), newer)).rejects.toMatchObject({
        code: "UNSUPPORTED",
      });
      const archive = { ...(await contentOf(database, "custom")), programMajor: 99 };
      await expect(restorePostgres(server.url("older"), archive)).rejects.toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringContaining("postgresql-client-99"),
      });
      expect(await isThere("older")).toBe(false);
    });

    test.each(["sql", "custom", "directory"] as const)(
      "where other rows come back than the dump says (%s)",
      async (format) => {
        const database = await server.create();
        await server.run(database, "CREATE TABLE t AS SELECT 1 AS x");
        const content = await contentOf(database, format);
        const wrong = { ...content, tables: content.tables.map((table) => ({ ...table, rows: 2 })) };
        for (const jobs of [1, 2]) {
          await expect(restorePostgres(server.url("wrong"), wrong, { jobs })).rejects.toMatchObject({
            code: "CORRUPT",
          });
          expect(await isThere("wrong")).toBe(false);
        }
        await server.run(database, "UPDATE t SET x = 7");
        const inPlace = restorePostgres(server.url(database), wrong, { mode: "in-place" });
        await expect(inPlace).rejects.toMatchObject({ code: "CORRUPT" });
        expect(await dumpTables(server, database)).toEqual({ "public.t": "(7)" });
      },
    );

    test.each(["sql", "custom"] as const)(
      "where its bytes are not those of the dump (%s)",
      async (format) => {
        const database = await server.create();
        await server.run(database, "CREATE TABLE t AS SELECT 1 AS x");
        const { read = () => Readable.from([]), ...content } = await contentOf(database, format);
        const damaged = {
          ...content,
          async *read() {
            yield* read();
            throw new CorruptError("not those of the snapshot");
          },
        };
        await server.run(database, "UPDATE t SET x = 7");
        for (const [target, mode] of [
          ["damaged", "new"],
          [database, "in-place"],
        ] as const) {
          const restoring = restorePostgres(server.url(target), damaged, { mode });
          await expect(restoring).rejects.toMatchObject({ code: "CORRUPT" });
        }
        expect(await isThere("damaged")).toBe(false);
        expect(await dumpTables(server, database)).toEqual({ "public.t": "(7)" });
      },
    );

    test("where it would have psql run a program", async () => {
      const database = await server.create();
      await server.run(database, "CREATE TABLE t AS SELECT 1 AS x");
      const { read = () => Readable.from([]), ...content } = await contentOf(database);
      const script = Buffer.concat(await Readable.from(read()).toArray()).toString();
      const [, key] = /\\restrict (\w+)/.exec(script) ?? [];
      const proof = join(tmpdir(), `lancedb-backup-proof-${process.pid}`);
      const evil = script.replace("COPY public.t", `\\unrestrict ${key}\n\\! touch ${proof}\nCOPY public.t`);
      expect(evil).not.toBe(script);
      const hostile = { ...content, read: () => Readable.from([Buffer.from(evil)]) };
      await expect(restorePostgres(server.url("evil"), hostile)).rejects.toMatchObject({ code: "IO" });
      expect(existsSync(proof)).toBe(false);
    });
  });

  test("is not restored in place where somebody has locked what it would replace", async () => {
    const database = await server.create();
    await server.run(database, "CREATE TABLE t AS SELECT 1 AS x");
    const content = await contentOf(database);
    await using other = await PostgresDump.begin(server.url(database));
    await other.countRows();
    const restoring = restorePostgres(server.url(database), content, {
      mode: "in-place",
      lockTimeoutMs: 200,
    });
    await expect(restoring).rejects.toMatchObject({ code: "LOCKED" });
  });

  test("has and counts what was there when it began, whatever is written until it is read", async () => {
    const database = await server.create();
    await server.run(database, "CREATE TABLE t AS SELECT generate_series(1, 5) AS x");
    await using dump = await PostgresDump.begin(server.url(database));
    await server.run(database, "INSERT INTO t VALUES (6)");
    expect(await dump.countRows()).toEqual(new Map([["public.t", 5]]));
    await server.run(database, "DELETE FROM t");
    const script = Buffer.concat(await Readable.from(dump.read()).toArray()).toString();
    expect(script).toContain("\n1\n2\n3\n4\n5\n\\.\n");
  });

  test("leaves out what it is told to, and knows what it has", async () => {
    const database = await server.create();
    await server.run(
      database,
      "CREATE SCHEMA s; CREATE TABLE s.a (x int); CREATE TABLE s.log_1 (x int); CREATE TABLE b (x int); CREATE TABLE log_2 (x int)",
    );
    const tablesOf = async (selection: PostgresSelection) => {
      await using dump = await PostgresDump.begin(server.url(database), selection);
      const script = Buffer.concat(await Readable.from(dump.read()).toArray()).toString();
      const created = [...script.matchAll(/CREATE TABLE (\S+)/g)].map(([, name]) => name).sort();
      expect(dump.selected.tables.map(tableId).sort()).toEqual(created);
      return created.join(" ");
    };
    expect(await tablesOf({})).toBe("public.b public.log_2 s.a s.log_1");
    expect(await tablesOf({ excludeTables: ["log_*"] })).toBe("public.b s.a");
    expect(await tablesOf({ schemas: ["s"] })).toBe("s.a s.log_1");
    expect(await tablesOf({ excludeSchemas: ["s"] })).toBe("public.b public.log_2");
    expect(await tablesOf({ tables: ["s.*"], excludeTables: ["s.a"] })).toBe("s.log_1");
    await expect(tablesOf({ tables: ["nothing"] })).rejects.toMatchObject({ code: "VALIDATION" });
  });

  test("is made by TLS as its address or the environment asks for it, and never by less", async () => {
    const secure = async (url: string, env: Record<string, string> = {}) => {
      await using dump = await PostgresDump.begin(url, { env });
      const sessions = `SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_port > 0`;
      const isSecure = await server.run("postgres", sessions);
      for await (const _piece of dump.read());
      return isSecure;
    };
    const [named, other] = [server.url("postgres", { host: "localhost" }), server.url("postgres")];
    const root = `sslrootcert=${encodeURIComponent(server.certificate)}`;
    for (const url of [
      `${named}?sslmode=verify-full&${root}`,
      `${other}?sslmode=verify-ca&${root}`,
      `${other}?sslmode=require`,
    ]) {
      expect(await secure(url)).toBe("t");
    }
    expect(await secure(`${other}?sslmode=disable`)).toBe("f");
    const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-test-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const foreign = `sslrootcert=${encodeURIComponent(newCertificate(directory).file)}`;
    const refused = (advice: string) => ({
      code: "IO",
      errno: "EPROTO",
      message: expect.stringContaining(advice),
    });
    const host = "Name the host as its certificate does.";
    const authority = "Name the file of the authority";
    for (const [url, advice] of [
      [`${other}?sslmode=verify-full&${root}`, host],
      [`${named}?sslmode=verify-full&${foreign}`, authority],
      [`${named}?sslmode=verify-ca&${foreign}`, authority],
      [`${named}?sslmode=verify-ca&sslrootcert=%2Fnowhere`, "change sslmode"],
    ] as const) {
      await expect(secure(url)).rejects.toMatchObject(refused(advice));
    }
    const env = { PGSSLMODE: "verify-full", PGSSLROOTCERT: server.certificate };
    expect(await secure(named, env)).toBe("t");
    await expect(secure(other, env)).rejects.toMatchObject({ code: "IO", errno: "EPROTO" });

    expireCertificate(server.socketDirectory);
    const loaded = () => server.run("postgres", "SELECT pg_conf_load_time()");
    const before = await loaded();
    await server.run("postgres", "SELECT pg_reload_conf()");
    while ((await loaded()) === before) await sleep(20);
    const expired = secure(`${named}?sslmode=verify-full&${root}`);
    await expect(expired).rejects.toMatchObject(refused("the certificate may have expired"));
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
