import { describe, expect, test } from "vitest";
import { MysqlDump } from "../../../src/sources/mysql/dump-mysql.ts";
import { type MysqlContent, restoreMysql } from "../../../src/sources/mysql/restore-mysql.ts";
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
  const server = useMariadb();
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
});
