import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { backupDatabase, restoreDatabase } from "../../src/dumps/backup-database.ts";
import { BackupFormat } from "../../src/dumps/backup-format.ts";
import { DatabaseBackup } from "../../src/dumps/database-backup.ts";
import { CorruptError } from "../../src/errors.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { dumpTables } from "../support/postgres-content.ts";
import {
  SERVER_PASSWORD,
  type SqlServer,
  useMariadb,
  usePostgres,
  whyNoMariadb,
  whyNoPostgres,
} from "../support/sql-servers.ts";
import { cuttingProxy } from "../support/tcp-proxy.ts";

const missing = whyNoPostgres();

/** The others differ by what PostgreSQL's own programs do, which the source's tests look at. */
const FORMATS =
  process.env["NIGHTLY"] === "1"
    ? Object.values(BackupFormat)
    : [BackupFormat.Custom, BackupFormat.Directory];

const connectionTo = ({ port }: SqlServer, database: string) => ({
  ...{ host: "127.0.0.1", port, user: "admin", password: SERVER_PASSWORD, database },
});

function secretsIn(backupDir: string): string[] {
  return filesBelow(backupDir).filter((name) => {
    const text = readFileSync(join(backupDir, name), "utf8");
    return text.includes(SERVER_PASSWORD) || text.includes(encodeURIComponent(SERVER_PASSWORD));
  });
}

describe.skipIf(missing !== undefined)(`PostgreSQL ${missing ?? ""}`, () => {
  const server = usePostgres();

  async function newPlace() {
    const database = await server.create();
    await server.run(
      database,
      `CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 500) i`,
    );
    const backupDir = await newDirectory();
    return { database, backupDir, backups: new DatabaseBackup(backupDir, { logger: silent }) };
  }

  test.each(FORMATS)(
    "a dump of the format %s goes into a new database, and over the old one",
    async (format) => {
      const { database, backupDir, backups } = await newPlace();
      const before = await dumpTables(server, database);
      const made = await backups.backupPostgres(connectionTo(server, database), "nightly", format);
      expect(made).toMatchObject({ databaseName: database, format });
      expect(statSync(made.filePath).isDirectory()).toBe(format === "directory");
      const fresh = `${database}_fresh`;
      await backups.restorePostgres("nightly", connectionTo(server, fresh));
      expect(await dumpTables(server, fresh)).toEqual(before);
      await server.run(database, "DELETE FROM items WHERE id > 7");
      await backups.restorePostgres("nightly", server.url(database));
      expect(await dumpTables(server, database)).toEqual(before);
      expect(secretsIn(backupDir)).toEqual([]);
    },
  );

  test("a file of a directory that has changed or gone is damage, before anything is written", async () => {
    const { database, backups } = await newPlace();
    const { filePath } = await backups.backupPostgres(server.url(database), "nightly", "directory");
    const [data = ""] = readdirSync(filePath).filter((name) => name !== "toc.dat");
    const path = join(filePath, data);
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.concat([bytes, Buffer.from("x")]));
    await expect(backups.restorePostgres("nightly", server.url(database))).rejects.toThrow(CorruptError);
    rmSync(path);
    await expect(backups.restorePostgres("nightly", server.url(database))).rejects.toThrow(CorruptError);
  });

  test("a connection that is cut in the middle leaves neither a file nor an entry", async () => {
    const { database, backupDir, backups } = await newPlace();
    await server.run(
      database,
      "CREATE TABLE long AS SELECT repeat(md5(i::text), 4) AS x FROM generate_series(1, 20000) i",
    );
    const cut = async () => server.url(database, { port: await cuttingProxy(server.port, 1_000_000) });
    const reset = { code: "IO", errno: "ECONNRESET" };
    for (const format of FORMATS) {
      await expect(backups.backupPostgres(await cut(), "cut", format)).rejects.toMatchObject(reset);
    }
    expect(await backupDatabase(await cut(), { backupDir, logger: silent })).toMatchObject({
      success: false,
    });
    expect(await backups.listBackups()).toEqual([]);
    expect(filesBelow(backupDir)).toEqual([]);
  });

  test("one packed file, and back; a server that is not there is a result, without the password", async () => {
    const { database, backupDir } = await newPlace();
    const before = await dumpTables(server, database);
    const options = { backupDir, logger: silent };
    const made = await backupDatabase(server.url(database), options);
    expect(made).toMatchObject({ success: true });
    expect(made.backup?.filePath).toMatch(/\.sql\.gz$/);
    expect(made.backup?.databaseUrl).toMatch(new RegExp(`^postgresql://.*/${database}$`));
    const fresh = `${database}_fresh`;
    expect(await restoreDatabase(made.backup?.id ?? "", server.url(fresh), options)).toMatchObject({
      success: true,
    });
    expect(await dumpTables(server, fresh)).toEqual(before);
    const failed = await backupDatabase(server.url(database, { port: 1 }), options);
    expect(failed).toMatchObject({ success: false });
    expect(failed.error).not.toContain(encodeURIComponent(SERVER_PASSWORD));
    expect(failed.error).not.toContain(SERVER_PASSWORD);
    expect(filesBelow(backupDir).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    expect(secretsIn(backupDir)).toEqual([]);
  });
});

const missingToo = whyNoMariadb();

describe.skipIf(missingToo !== undefined)(`MariaDB ${missingToo ?? ""}`, () => {
  const server = useMariadb();

  test("a dump goes into a new database and never over one that holds something; packed, too", async () => {
    const database = await server.create();
    await server.run(
      database,
      "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT seq, CONCAT('item ', seq) FROM seq_1_to_500; CREATE TABLE old (id int) ENGINE = MyISAM",
    );
    const rows = (name: string) => server.run(name, "SELECT * FROM items ORDER BY id");
    const before = await rows(database);
    const backupDir = await newDirectory();
    const { logger, logged } = recordingLogger();
    const backups = new DatabaseBackup(backupDir, { logger });
    const made = await backups.backupMysql(connectionTo(server, database), "nightly");
    expect(made).toMatchObject({ databaseName: database, format: "sql" });
    expect(logged).toContainEqual(
      expect.objectContaining({ level: "warn", message: expect.stringContaining("old ") }),
    );
    await backups.restoreMysql("nightly", connectionTo(server, `${database}_fresh`));
    expect(await rows(`${database}_fresh`)).toBe(before);
    await server.run(database, "DELETE FROM items WHERE id > 7");
    const after = await rows(database);
    await expect(backups.restoreMysql("nightly", connectionTo(server, database))).rejects.toThrow(
      /not empty/,
    );
    expect(await rows(database)).toBe(after);

    const options = { backupDir, logger: silent };
    const packed = await backupDatabase(server.url(database), options);
    const restored = await restoreDatabase(
      packed.backup?.id ?? "",
      server.url(`${database}_packed`),
      options,
    );
    expect([packed.error, restored.error]).toEqual([undefined, undefined]);
    expect(await rows(`${database}_packed`)).toBe(after);
    expect(secretsIn(backupDir)).toEqual([]);
  });
});
