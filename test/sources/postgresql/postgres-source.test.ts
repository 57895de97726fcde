import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { PROCESS_TOKEN } from "../../../src/fs/this-process.ts";
import { Repository } from "../../../src/repository/index.ts";
import { run } from "../../cli/cli.ts";
import { dumpTables } from "../../support/postgres-content.ts";
import { SERVER_PASSWORD, usePostgres, whyNoPostgres } from "../../support/sql-servers.ts";

const reason = whyNoPostgres();
if (reason) console.warn(reason);

const text = (seed: string) =>
  `md5((${seed})::text) || md5((${seed} + 0.5)::text) || md5((${seed} + 0.25)::text) || md5((${seed} + 0.75)::text)`;

describe.skipIf(reason)("a PostgreSQL database in a repository", () => {
  const server = usePostgres();
  let directory = "";
  let repository: Repository;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "lancedb-backup-test-"));
    repository = await Repository.init(join(directory, "repository"));
  });
  afterAll(async () => {
    await repository[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  test("costs what has changed, and comes back by any of its snapshots", async () => {
    const database = await server.create();
    await server.run(
      database,
      `CREATE TABLE items (id int PRIMARY KEY, body text); INSERT INTO items SELECT i, ${text("i")} FROM generate_series(1, 60000) i;
       CREATE TABLE users (id int); INSERT INTO users SELECT generate_series(1, 10)`,
    );
    const source = server.url(database);
    const first = await repository.backup({ source });
    expect(first.parts[0]).toMatchObject({
      source: { type: "postgresql", uri: `postgresql://127.0.0.1:${server.port}/${database}` },
    });
    expect(first.newBytes).toBe(first.bytes);
    expect(first.bytes).toBeGreaterThan(8_000_000);

    const unchanged = await repository.backup({ source });
    expect(unchanged.newBytes).toBe(0);

    await server.run(
      database,
      `INSERT INTO items SELECT i, ${text("i")} FROM generate_series(60001, 60600) i`,
    );
    const appended = await repository.backup({ source });
    expect(stored(appended)).toBeLessThanOrEqual(0.03);

    // Rewritten in one place: rows keep theirs where the table is written anew by its key.
    await server.run(
      database,
      `UPDATE items SET body = body || 'x' WHERE id BETWEEN 20000 AND 20600; CREATE INDEX by_id ON items (id); CLUSTER items USING by_id`,
    );
    await repository.backup({ source });
    await server.run(
      database,
      `UPDATE items SET body = body || 'y' WHERE id BETWEEN 40000 AND 40600; CLUSTER items`,
    );
    const changed = await repository.backup({ source });
    expect(stored(changed)).toBeLessThanOrEqual(0.04);

    await repository.restore(changed.id, { target: server.url("restored") });
    expect(await dumpTables(server, "restored")).toEqual(await dumpTables(server, database));
    const restoreTest = async () => {
      const all = await repository.verify(changed.id, { restoreTest: true });
      return all.find(({ check }) => check.startsWith("restore"));
    };
    // On the source's own server, without a password: it does not let anybody in.
    expect(await restoreTest()).toMatchObject({ ok: false });
    process.env["LANCEDB_BACKUP_POSTGRESQL_SCRATCH"] = server.url("postgres");
    onTestFinished(() => void delete process.env["LANCEDB_BACKUP_POSTGRESQL_SCRATCH"]);
    const scratch = (time: number) => `lancedb_backup_test_${time}_01234567`;
    const now = Math.floor(Date.now() / 1000);
    const [host, boot, ns, pid, startTime] = JSON.parse(Buffer.from(PROCESS_TOKEN, "base64url").toString());
    const before = token([host, "an earlier start", ns, pid, startTime]);
    await leave(scratch(1_000_000_000), undefined);
    await leave(scratch(1_000_000_001), before);
    await leave(scratch(now - 60), token([host, boot, ns, pid, "1"]));
    await leave(scratch(now - 61), before);
    await leave(scratch(now - 62), PROCESS_TOKEN);
    expect(await restoreTest()).toMatchObject({
      ok: true,
      details: expect.stringContaining("2 tables, 60610 rows"),
    });
    // Of processes that live, or may.
    const left = await server.run(
      "postgres",
      "SELECT datname FROM pg_database WHERE datname ~ 'test' ORDER BY 1",
    );
    expect(left).toBe(`${scratch(now - 62)}\n${scratch(now - 61)}`);
  });

  const token = (parts: readonly unknown[]) => Buffer.from(JSON.stringify(parts)).toString("base64url");

  /** A database as a restore test has left it that died. */
  async function leave(name: string, comment: string | undefined): Promise<void> {
    await server.run("postgres", `CREATE DATABASE ${name}`);
    if (comment) await server.run("postgres", `COMMENT ON DATABASE ${name} IS '${comment}'`);
  }

  test("on the command line is an address: in its format and schema, tested, and restored to another address", async () => {
    const database = await server.create();
    await server.run(
      database,
      "CREATE SCHEMA wanted; CREATE TABLE wanted.t AS SELECT generate_series(1, 9) AS x; CREATE TABLE other (x int)",
    );
    const env = {
      ...{ LANCEDB_BACKUP_REPO: repository.location, PGPASSWORD: SERVER_PASSWORD },
      LANCEDB_BACKUP_POSTGRESQL_SCRATCH: server.url("postgres"),
    };
    const done = async (...args: string[]) => {
      const ran = await run(args, { env });
      expect([ran.code, ran.stderr]).toEqual([0, expect.not.stringContaining("rror")]);
      expect(ran.stdout + ran.stderr).not.toContain(SERVER_PASSWORD);
      return ran.stdout;
    };
    const address = (name: string) => `postgresql://admin@127.0.0.1:${server.port}/${name}`;
    const how = ["--format", "directory", "--jobs", "2", "--schema", "wanted"];
    await done("backup", address(database), "--name", "cli", ...how);
    expect(await done("verify", "cli", "--restore-test")).toContain("1 tables, 9 rows");
    await done("restore", "cli", "--target-url", address("from_cli"), "--jobs", "2");
    const there = await dumpTables(server, "from_cli");
    expect(Object.keys(there)).toEqual(["wanted.t"]);
    const refused = await run(["backup", address(database), "--format", "sql", "--jobs", "2"], { env });
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("directory")]);
  });

  /** Which part of its bytes a snapshot has brought into the repository. */
  function stored({ storedBytes, bytes }: { storedBytes: number; bytes: number }): number {
    return storedBytes / bytes;
  }
});
