import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { Repository } from "../../../src/repository/index.ts";
import { dumpTables } from "../../support/postgres-content.ts";
import { usePostgres, whyNoPostgres } from "../../support/sql-servers.ts";

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
    expect(await restoreTest()).toMatchObject({
      ok: true,
      details: expect.stringContaining("2 tables, 60610 rows"),
    });
    expect(await server.run("postgres", "SELECT datname FROM pg_database WHERE datname ~ 'test'")).toBe("");
  });

  /** Which part of its bytes a snapshot has brought into the repository. */
  function stored({ storedBytes, bytes }: { storedBytes: number; bytes: number }): number {
    return storedBytes / bytes;
  }
});
