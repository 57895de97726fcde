import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { MysqlDump } from "../../../src/sources/mysql/dump-mysql.ts";
import { type MysqlContent, restoreMysql } from "../../../src/sources/mysql/restore-mysql.ts";
import { expireCertificate, newCertificate } from "../../support/certificate.ts";
import { useMariadb, whyNoMariadb } from "../../support/sql-servers.ts";

const reason = whyNoMariadb();
if (reason) console.warn(reason);

const SCHEMA = `
CREATE TABLE items (id int PRIMARY KEY AUTO_INCREMENT, name text, payload blob, twice int AS (id * 2) VIRTUAL);
INSERT INTO items (name, payload) SELECT CONCAT('name ', seq, ' '' \\\\ \\n \\t é日'), UNHEX(MD5(seq)) FROM seq_1_to_3000;
CREATE TABLE \`odd;"'\\ -- 日\`\`\` (x int);
INSERT INTO \`odd;"'\\ -- 日\`\`\` VALUES (1), (2);
CREATE TABLE empty (x int);
CREATE TABLE old (x int) ENGINE=MyISAM;
CREATE VIEW named AS SELECT name FROM items;
CREATE TRIGGER t BEFORE INSERT ON empty FOR EACH ROW SET NEW.x = 5;
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1;
CREATE PROCEDURE p() INSERT INTO empty VALUES (1)
`;

describe.skipIf(reason)("a dump of MariaDB", () => {
  const server = useMariadb({ tls: true });
  const contentOf = async (database: string): Promise<MysqlContent> => {
    await using dump = await MysqlDump.begin(server.url(database));
    const pieces: Uint8Array[] = [];
    for await (const piece of dump.read()) pieces.push(piece);
    const { facts, rows } = dump;
    return {
      facts,
      rows,
      async *read() {
        yield* pieces;
      },
    };
  };
  const checksums = async (database: string) =>
    (await server.run(database, "CHECKSUM TABLE items, empty, old, `odd;\"'\\ -- 日```")).replaceAll(
      `${database}.`,
      "",
    );

  test("comes back, with all that is not a table", async () => {
    const from = await server.create();
    await server.run(from, SCHEMA);
    const content = await contentOf(from);
    expect(Object.fromEntries(content.rows)).toEqual({
      items: 3000,
      "odd;\"'\\ -- 日`": 2,
      empty: 0,
      old: 0,
    });
    // (A quote in its name as well, and mariadb-dump does not find the database's events.)
    const to = "-e $(x) `é;";
    await restoreMysql(server.url(to), content);
    expect(await checksums(to)).toEqual(await checksums(from));
    await server.run(to, "CALL p()");
    expect(await server.run(to, "SELECT x FROM empty")).toBe("5");
    expect(await server.run(to, "SHOW EVENTS")).toContain("|e|");
    const again = await contentOf(to);
    expect(again.rows.get("empty")).toBe(1);
    await expect(restoreMysql(server.url(to), content)).rejects.toMatchObject({ code: "VALIDATION" });
  });

  test("is made by TLS as its address asks for it, and never by less", async () => {
    // Who is let in by TLS alone.
    await server.run("mysql", "CREATE USER tls@'%' IDENTIFIED BY 'secret' REQUIRE SSL");
    await server.run("mysql", "GRANT ALL ON *.* TO tls@'%'");
    const database = await server.create();
    const whole = async (query: string, host = "localhost") => {
      const url = server.url(database, { user: "tls", password: "secret", host });
      await using dump = await MysqlDump.begin(`${url}?${query}`);
      for await (const _piece of dump.read());
    };
    const certificate = `ssl-ca=${encodeURIComponent(server.certificate)}`;
    for (const mode of ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"]) {
      await whole(`ssl-mode=${mode}&${certificate}`);
    }
    await whole("ssl-mode=PREFERRED");
    await expect(whole("ssl-mode=DISABLED")).rejects.toMatchObject({ code: "IO", errno: "EACCES" });
    const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-test-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const foreign = `ssl-ca=${encodeURIComponent(newCertificate(directory).file)}`;
    const refused = {
      code: "IO",
      errno: "EPROTO",
      message: expect.stringContaining("by ssl-ca, and the host as"),
    };
    await expect(whole(`ssl-mode=VERIFY_CA&${foreign}`)).rejects.toMatchObject(refused);
    const byNumber = whole(`ssl-mode=VERIFY_IDENTITY&${certificate}`, "127.0.0.1");
    await expect(byNumber).rejects.toMatchObject(refused);

    expireCertificate(server.socketDirectory);
    await server.run("mysql", "FLUSH SSL");
    const expired = whole(`ssl-mode=VERIFY_CA&${certificate}`);
    await expect(expired).rejects.toMatchObject({
      ...{ code: "IO", errno: "EPROTO" },
      message: expect.stringContaining("Renew the server's certificate."),
    });
  });
});
