import { describe, expect, test } from "vitest";
import { dumpArguments } from "../../../src/sources/mysql/dump-mysql.ts";
import { joinInserts, RowCounter } from "../../../src/sources/mysql/insert-lines.ts";
import { parseMysqlUrl } from "../../../src/sources/mysql/mysql-address.ts";
import { optionFile } from "../../../src/sources/mysql/mysql-client.ts";
import { withoutSandbox } from "../../../src/sources/mysql/restore-mysql.ts";

// MySQL's own programs are in no package here: what they are told is tested, and the rest on MariaDB's.

const program = (version: string, major: number) => ({ path: "/x", version, major, minor: 0 });
const table = (name: string) => ({ name, isTable: 1, isTransactional: 1 });
const all = { taken: [table("a"), table("b")], excluded: [], isAll: true };

describe("a dump program", () => {
  test("of MySQL 8 is told what only it knows", () => {
    const args = dumpArguments(program("mysqldump  Ver 8.0.36 for Linux on x86_64", 8), "db", all);
    expect(args).toEqual(
      expect.arrayContaining(["--single-transaction", "--set-gtid-purged=OFF", "--column-statistics=0"]),
    );
    expect(args.slice(-2)).toEqual(["--", "db"]);
  });

  test("of MySQL 5.7 and of MariaDB is not told what it does not know", () => {
    const old = dumpArguments(program("mysqldump  Ver 10.13 Distrib 5.7.44, for Linux", 5), "db", all);
    expect(old).not.toContain("--column-statistics=0");
    const mariadb = dumpArguments(program("mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB", 10), "db", all);
    expect(mariadb.filter((arg) => /gtid|statistics/.test(arg))).toEqual([]);
  });

  test("takes names for names, whatever they look like", () => {
    const some = { taken: [table("--help")], excluded: [table("--x")], isAll: false };
    const args = dumpArguments(program("MariaDB", 10), "--all-databases", some);
    expect(args.slice(args.indexOf("--"))).toEqual(["--", "--all-databases", "--help"]);
    expect(args).toContain("--ignore-table=--all-databases.--x");
    expect(args).not.toContain("--routines");
  });

  test("is told of TLS in its own words, and never of less", () => {
    const url = (mode: string) => parseMysqlUrl(`mysql://u:p@h/db?ssl-ca=%2Fca.pem&ssl-mode=${mode}`);
    expect(optionFile(url("verify-identity"), "mysql")).toContain("ssl-mode=VERIFY_IDENTITY\n");
    expect(optionFile(url("required"), "mariadb")).toContain("ssl\nssl-verify-server-cert\n");
    expect(optionFile(url("disabled"), "mariadb")).toContain("skip-ssl\n");
    expect(optionFile(url("required"), "mariadb")).toContain('ssl-ca="/ca.pem"\n');
  });
});

describe("a script", () => {
  async function* inPieces(text: string, bytes: number) {
    const buffer = Buffer.from(text);
    for (let at = 0; at < buffer.length; at += bytes) yield buffer.subarray(at, at + bytes);
  }
  const collect = async (pieces: AsyncIterable<Uint8Array>) => {
    const all: Uint8Array[] = [];
    for await (const piece of pieces) all.push(piece);
    return Buffer.concat(all).toString();
  };

  const SCRIPT = [
    "-- head",
    "INSERT INTO `a``é` VALUES (1,'x;\\n(');",
    "INSERT INTO `a``é` VALUES (2,'y');",
    "INSERT INTO `b` (`x`,`y`) VALUES (1,2);",
    "INSERT INTO `b` (`x`,`y`) VALUES (3,4);",
    "INSERT INTO `a``é` VALUES (3,'z');",
    "DELIMITER ;;",
    "CREATE PROCEDURE p() BEGIN",
    "INSERT INTO `b` VALUES (9,9);",
    "INSERT INTO `b` VALUES (8,8);",
    "END ;;",
    "DELIMITER ;",
    "INSERT INTO `b` (`x`,`y`) VALUES (5,6);",
    "-- Dump completed",
    "",
  ].join("\n");

  test.each([1, 7, 64, 10_000])(
    "with a statement a row is put together again, but for what is in procedures (pieces of %i)",
    async (bytes) => {
      expect((await collect(joinInserts(inPieces(SCRIPT, bytes)))).split("\n")).toEqual([
        "-- head",
        "INSERT INTO `a``é` VALUES (1,'x;\\n('),",
        "(2,'y');",
        "INSERT INTO `b` (`x`,`y`) VALUES (1,2),",
        "(3,4);",
        "INSERT INTO `a``é` VALUES (3,'z');",
        ...SCRIPT.split("\n").slice(6),
      ]);
      const counter = new RowCounter();
      for await (const piece of inPieces(SCRIPT, bytes)) counter.pass(piece);
      expect(Object.fromEntries(counter.rows)).toEqual({ "a`é": 3, b: 3 });
    },
  );

  test("with a row that is longer than what is looked at passes as it is", async () => {
    const long = `INSERT INTO \`a\` VALUES ('${"x".repeat(9 << 20)}');\nINSERT INTO \`a\` VALUES ('y');\n`;
    expect((await collect(joinInserts(inPieces(long, 65_536)))) === long).toBe(true);
  });

  test.each(["/*!999999\\- enable the sandbox mode */ \n", "/*M!999999\\- enable the sandbox mode */\n", ""])(
    "is run without MariaDB's line of the sandbox (%j)",
    async (line) => {
      const rest = `-- MariaDB dump\n${"SELECT 1;\n".repeat(100)}`;
      expect(await collect(withoutSandbox(inPieces(line + rest, 10)))).toBe(rest);
    },
  );
});
