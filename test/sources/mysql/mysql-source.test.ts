import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { type BackupOptions, Repository, type Source, sourceFromUrl } from "../../../src/repository/index.ts";
import { MysqlDump } from "../../../src/sources/mysql/dump-mysql.ts";
import { fakeProgram } from "../../support/fake-programs.ts";
import { filesBelow } from "../../support/files.ts";
import { otherFileSystem } from "../../support/other-file-system.ts";
import { startProcess } from "../../support/other-process.ts";
import { SERVER_PASSWORD, useMariadb, whyNoMariadb } from "../../support/sql-servers.ts";
import { cuttingProxy } from "../../support/tcp-proxy.ts";
import { watchProcesses } from "../../support/watch-processes.ts";

const reason = whyNoMariadb();
if (reason) console.warn(reason);

const inOptionFile = SERVER_PASSWORD.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
const SECRETS = [SERVER_PASSWORD, encodeURIComponent(SERVER_PASSWORD), inOptionFile];
const seconds = () => Math.floor(Date.now() / 1000);
const BODY = "CONCAT(SHA2(seq, 512), SHA2(seq + 0.5, 512))";

describe.skipIf(reason)("a MariaDB database in a repository", () => {
  const server = useMariadb();
  let directory = "";
  let database = "";
  let repository: Repository;
  const logged: string[] = [];
  const log = (message: string, meta?: unknown) => void logged.push(`${message} ${JSON.stringify(meta)}`);

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "lancedb-backup-test-"));
    database = await server.create();
    await server.run(
      database,
      `CREATE TABLE items (id int PRIMARY KEY, body text); INSERT INTO items SELECT seq, ${BODY} FROM seq_1_to_30000;
       CREATE TABLE hidden (x int) ENGINE=MyISAM;
       CREATE USER reader@'%' IDENTIFIED BY 'reader-secret'; GRANT SELECT ON ${database}.items TO reader@'%'; GRANT INSERT ON ${database}.hidden TO reader@'%'`,
    );
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  beforeEach(async () => {
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = mkdtempSync(join(directory, "tmp-"));
    logged.length = 0;
    const logger = { debug: log, info: log, warn: log, error: log };
    repository = await Repository.init(mkdtempSync(join(directory, "repository-")), { logger });
    onTestFinished(async () => {
      await repository[Symbol.asyncDispose]();
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    });
  });

  test("costs what has changed, and comes back; no process, document or file tells the password", async () => {
    const watch = watchProcesses(SECRETS);
    const source = server.url(database);
    const part = ({ storedBytes, bytes }: { storedBytes: number; bytes: number }) => storedBytes / bytes;
    await repository.backup({ source });
    expect(logged.join()).toContain(
      'without transactions may be from a different moment than the others {"tables":"hidden"}',
    );
    expect((await repository.backup({ source })).newBytes).toBe(0);
    await server.run(database, `INSERT INTO items SELECT seq, ${BODY} FROM seq_30001_to_30300`);
    expect(part(await repository.backup({ source }))).toBeLessThanOrEqual(0.03);
    await server.run(database, "UPDATE items SET body = CONCAT(body, 'x') WHERE id BETWEEN 9000 AND 9300");
    const changed = await repository.backup({ source });
    expect(part(changed)).toBeLessThanOrEqual(0.04);

    await repository.restore(changed.id, { target: server.url("-e é;`$(x)") });
    const sum = (name: string) => server.run(name, "SELECT COUNT(*), SUM(CRC32(body)) FROM items");
    expect(await sum("-e é;`$(x)")).toBe(await sum(database));
    const again = repository.restore(changed.id, { target: server.url("-e é;`$(x)") });
    await expect(again).rejects.toMatchObject({ code: "VALIDATION" });

    process.env["LANCEDB_BACKUP_MYSQL_SCRATCH"] = server.url(database);
    onTestFinished(() => void delete process.env["LANCEDB_BACKUP_MYSQL_SCRATCH"]);
    const [old, young] = [
      "lancedb_backup_test_1000000000_01234567",
      `lancedb_backup_test_${seconds()}_01234567`,
    ];
    await server.run("mysql", `CREATE DATABASE ${old}; CREATE DATABASE ${young}`);
    const verified = await repository.verify(changed.id, { restoreTest: true });
    expect(verified.find(({ check }) => check.startsWith("restore"))).toMatchObject({
      ok: true,
      details: expect.stringContaining("2 tables, 30300 rows"),
    });
    expect(await server.run("mysql", "SHOW DATABASES LIKE 'lancedb%'")).toBe(young);

    expect(await watch.end()).toEqual([]);
    expect([...watch.seen].some((program) => program.endsWith("mariadb-dump"))).toBe(true);
    expect(readdirSync(tmpdir())).toEqual([]);
    for (const file of filesBelow(repository.location)) {
      const text = readFileSync(join(repository.location, file), "utf8");
      for (const secret of SECRETS) expect(text).not.toContain(secret);
    }
    for (const secret of SECRETS) expect(logged.join("\n")).not.toContain(secret);
  });

  test("is dumped as it is when the capture has begun, whatever is written until it is read", async () => {
    const one = await server.create();
    await server.run(one, `CREATE TABLE t (id int); INSERT INTO t SELECT seq FROM seq_1_to_50000`);
    await using dump = await MysqlDump.begin(server.url(one));
    const files = filesBelow(tmpdir()).map((file) => statSync(join(tmpdir(), file)).mode & 0o777);
    expect(files).toEqual([0o600, 0o600]); // with the password, and what is held of the dump
    await server.run(one, "INSERT INTO t VALUES (0)");
    for await (const _piece of dump.read());
    expect(dump.rows.get("t")).toBe(50_000);
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

  test("is not backed up where the server is down, does not let the user in, or has no such database", async () => {
    const [down, wrong, nowhere] = [
      server.url(database, { port: 1 }),
      server.url(database, { password: "wrong-secret" }),
      server.url("nowhere"),
    ];
    expect(await failure({ source: down })).toMatchObject({ code: "IO", errno: "ECONNREFUSED" });
    expect(await failure({ source: wrong })).toMatchObject({ code: "IO", errno: "EACCES" });
    expect(await failure({ source: nowhere })).toMatchObject({ code: "VALIDATION" });
  });

  test("is not backed up where one table may not be read", async () => {
    const source = server.url(database, { user: "reader", password: "reader-secret" });
    const error = await failure({ source });
    expect(error).toMatchObject({ code: "IO", errno: "EACCES", message: expect.stringContaining("hidden") });
  });

  test("is not backed up where the connection is cut in the middle", async () => {
    const port = await cuttingProxy(server.port, 2_000_000);
    expect(await failure({ source: server.url(database, { port }) })).toMatchObject({
      code: "IO",
      errno: "ECONNRESET",
    });
  });

  test("is not backed up where its dump ends early, and its program says that all is well", async () => {
    const binDir = join(directory, "early");
    mkdirSync(binDir);
    const script = `case "$1" in --version) exec $REAL "$@";; esac; $REAL "$@" | head -c 3000000; exit 0`;
    fakeProgram(binDir, "/usr/bin", "mariadb-dump", script);
    const source = sourceFromUrl(server.url(database), { binDir });
    expect(await failure({ source })).toMatchObject({
      code: "CORRUPT",
      message: expect.stringContaining("not complete"),
    });
  });

  test("is not backed up where its process is killed: the next one sweeps what that left, with the password", async () => {
    const dump = JSON.stringify(join(import.meta.dirname, "../../../src/sources/mysql/dump-mysql.ts"));
    const watch = watchProcesses(SECRETS);
    const other = startProcess(`
      const { MysqlDump } = await import(${dump});
      const [address] = await goOn();
      globalThis.dump = await MysqlDump.begin(String(address).trim());
      print("begun");
      await goOn();
    `);
    other.child.stdin?.write(`${server.url(database)}\n`);
    await other.line("begun");
    other.child.kill("SIGKILL");
    await once(other.child, "exit");
    expect(await watch.end()).toEqual([]);
    const left = filesBelow(tmpdir());
    const [file = ""] = left.filter((name) => name.endsWith(".cnf"));
    expect(statSync(join(tmpdir(), file)).mode & 0o777).toBe(0o600);
    expect(left.some((name) => name.endsWith("held.sql"))).toBe(true);
    expect(await failure({ source: server.url(database, { password: "wrong-secret" }) })).toMatchObject({
      errno: "EACCES",
    });
  });

  test("is not backed up without TLS where its address asks for TLS", async () => {
    for (const mode of ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"]) {
      const source = `${server.url(database)}?ssl-mode=${mode}`;
      expect(await failure({ source })).toMatchObject({
        ...{ code: "IO", errno: "EPROTO" },
        message: expect.stringContaining("Give the server a certificate"),
      });
    }
  });

  test("is not there, or as it was, where its restore fails", async () => {
    const { id } = await repository.backup({ source: server.url(database) });
    const isThere = async (name: string) =>
      (await server.run("mysql", `SHOW DATABASES LIKE '${name}'`)) !== "";
    const binDir = join(directory, "failing");
    mkdirSync(binDir);
    fakeProgram(
      binDir,
      "/usr/bin",
      "mariadb",
      `case "$*" in *--binary-mode*) head -c 3000000 | $REAL "$@"; exit 1;; esac; exec $REAL "$@"`,
    );
    const options = { targets: [{ part: "mysql", target: server.url("half") }], targetOptions: { binDir } };
    await expect(repository.restore(id, options)).rejects.toMatchObject({ code: "IO" });
    expect(await isThere("half")).toBe(false);
  });

  test("is not backed up where the disk of temporary files is full before the dump is asked for", async () => {
    const full = await otherFileSystem("1m");
    if (full === undefined) return;
    process.env["TMPDIR"] = full;
    const slow: Source = {
      ...{ type: "slow", id: "slow:x", uri: "slow:x" },
      async capture() {
        while (statfsSync(full).bfree > 0) await sleep(10);
        return {
          capturedAt: new Date(),
          entries: () => Readable.from([]),
          finish: async () => ({ about: {}, details: {} }),
          [Symbol.asyncDispose]: async () => undefined,
        };
      },
    };
    const sources = [server.url(database), slow];
    expect(await failure({ sources })).toMatchObject({ code: "IO", errno: "ENOSPC" });
  });

  // The last one, since the server stays down.
  test("is not backed up, and told not to be whole where it was restored to, where the server is killed", async () => {
    const dumping = await cuttingProxy(server.port, 2_000_000, { act: server.kill });
    const error = await failure({ source: server.url(database, { port: dumping }) });
    expect(error).toMatchObject({ code: "IO", errno: "ECONNRESET" });

    await server.start();
    const { id } = await repository.backup({ source: server.url(database) });
    const port = await cuttingProxy(server.port, 2_000_000, { of: "requests", act: server.kill });
    const restoring = await repository.restore(id, { target: server.url("half", { port }) }).then(
      () => expect.fail("it did not fail"),
      (thrown: unknown) => thrown,
    );
    expect(restoring).toMatchObject({ code: "RESTORE", restoreError: { code: "IO", errno: "ECONNRESET" } });
    expect(String(restoring)).toContain("must be dropped by hand");
    expectNothingTold(restoring);
  });
});
