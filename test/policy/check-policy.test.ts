import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupService, loadPolicies, Repository } from "../../src/index.ts";
import { checkPolicy } from "../../src/policy/check-policy.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { stampOf } from "../support/files.ts";
import { writePolicies } from "../support/policies.ts";
import { useProfiles } from "../support/profiles.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";
import {
  SERVER_PASSWORD,
  useMariadb,
  usePostgres,
  whyNoMariadb,
  whyNoPostgres,
} from "../support/sql-servers.ts";

const { logger } = recordingLogger();

/** What a check says of a policy over one source, in a directory. */
async function check(source: string, directory?: string, storage = "type: local, path: vault") {
  const place = directory ?? (await newDirectory());
  const file = writePolicies(place, {
    storage,
    policies: `one: { sources: [${source}], schedule: { full: "0 2 * * *" } }`,
  });
  const { settings } = (await loadPolicies(file, { PASSWORD: SERVER_PASSWORD })).get("one")!;
  return checkPolicy(settings, logger);
}

describe("sources on disk are opened, and not changed", () => {
  test("LanceDB: each table's newest version, and whether its files are there", async () => {
    const directory = await newDirectory();
    const database = join(directory, "db");
    await (await connect(database)).createTable("t", [{ id: 1 }]);
    await check(`{ type: lancedb, path: ${database} }`, directory);
    const before = stampOf(database);
    const fine = await check(`{ type: lancedb, path: ${database} }`, directory);
    expect(fine).toMatchObject({ ok: true, notes: [`${database}: 1 table`, expect.any(String)] });
    expect(stampOf(database)).toEqual(before);
    expect(fine.nextRuns).toHaveLength(3);
    rmSync(join(database, "t.lance/data"), { recursive: true });
    const broken = await check(`{ type: lancedb, path: ${database} }`, directory);
    expect(broken).toMatchObject({ ok: false, problems: [expect.stringContaining("t.lance")] });
    const absent = await check(`{ type: lancedb, path: ${database}, tables: [x] }`, directory);
    expect(absent.problems).toEqual([`There is no table x in ${database}.`]);
  });

  test("SQLite: whether it is a database", async () => {
    const directory = await newDirectory();
    const [file, text] = [join(directory, "app.sqlite"), join(directory, "text.sqlite")];
    const database = new DatabaseSync(file);
    database.exec("pragma journal_mode = wal; create table t (id integer)");
    database.close();
    writeFileSync(
      text,
      "this is no database, but a text that is longer than the header of one is, 100 bytes, so that it counts",
    );
    const before = readdirSync(directory);
    expect(await check(`{ type: sqlite, path: ${file} }`, directory)).toMatchObject({
      ok: true,
      notes: [expect.stringContaining("a database"), expect.any(String)],
    });
    expect(readdirSync(directory).filter((name) => name !== "backup.yaml")).toEqual(before);
    expect((await check(`{ type: sqlite, path: ${text} }`, directory)).ok).toBe(false);
    expect((await check(`{ type: sqlite, path: ${file}-none }`, directory)).ok).toBe(false);
  });

  test("files, and programs; what is wrong with one does not hide what is with another", async () => {
    const directory = await newDirectory();
    writeFileSync(join(directory, "a"), "a");
    const found = await check(
      `{ type: files, paths: [${directory}] }, { type: command, name: a, command: [node] }, { type: command, name: b, command: [no-such-program] }, { type: files, paths: [${directory}/none] }`,
      directory,
    );
    expect(found.ok).toBe(false);
    expect(found.notes[0]).toMatch(/2 files$/);
    expect(found.problems).toEqual([
      "There is no program no-such-program that may be run.",
      expect.stringContaining("none"),
    ]);
  });
});

describe.skipIf(whyNoPostgres() !== undefined)("PostgreSQL", () => {
  const server = usePostgres();
  const source = (url: string, rest = "") => `{ type: postgresql, connection: "${url}"${rest} }`;

  test("says what the server is; and which tables the user may not read, or not all rows of", async () => {
    const database = await server.create();
    await server.run(
      database,
      `create table a (id int); create table "B c" (id int); create table r (id int); alter table r enable row level security;
       create role reader login password 'pw'; grant select on a, r to reader;`,
    );
    const fine = await check(source(server.url(database)));
    expect(fine).toMatchObject({ ok: true, problems: [] });
    expect(fine.notes[0]).toMatch(/PostgreSQL \d+.*, 3 tables, .*pg_dump/);
    const reader = server.url(database, { user: "reader", password: "pw" });
    const refused = await check(source(reader));
    expect(refused.problems).toHaveLength(1);
    expect(refused.problems[0]).toMatch(/The user may not read of .*: public\.B c, public\.r\.$/);
    expect(await check(source(reader, ", tables: [a]"))).toMatchObject({ ok: true });
    expect((await check(source(server.url("none")))).problems[0]).toContain("none");
    const wrong = await check(source(server.url(database, { user: "reader", password: "wr0ng" })));
    expect(wrong.ok).toBe(false);
    expect(JSON.stringify(wrong)).not.toContain("wr0ng");
  });
});

describe.skipIf(whyNoMariadb() !== undefined)("MariaDB", () => {
  const server = useMariadb();
  const source = (url: string) => `{ type: mysql, connection: "${url}" }`;

  test("says what the server is, and that the user may not read a table", async () => {
    const database = await server.create();
    await server.run(
      database,
      `create table a (id int); create table \`b c\` (id int); create user reader@'%' identified by 'pw'; grant select on \`${database}\`.a to reader@'%'; grant insert on \`${database}\`.\`b c\` to reader@'%';`,
    );
    const fine = await check(source(server.url(database)));
    expect(fine).toMatchObject({ ok: true, problems: [] });
    expect(fine.notes[0]).toMatch(/MariaDB.*, 2 tables, .*dump/);
    const refused = await check(source(server.url(database, { user: "reader", password: "pw" })));
    expect(refused).toMatchObject({ ok: false, problems: [expect.stringMatching(/denied/)] });
    expect((await check(source(server.url("none")))).ok).toBe(false);
  });
});

describe.skipIf(whyNoS3() !== undefined)("a bucket", () => {
  const server = useS3Server();

  test("that may be read alone is a problem, and nothing is written into one that may be written", async () => {
    const directory = await newDirectory();
    const database = join(directory, "db");
    await (await connect(database)).createTable("t", [{ id: 1 }]);
    const bucket = await server.bucket();
    const owner = await Repository.init(server.address(bucket, "vault"), { logger });
    const account = await server.account("checker");
    await useProfiles({ other: account });
    const storage = `type: url, url: "${server.address(bucket, "vault")}&profile=other"`;
    const source = `{ type: lancedb, path: ${database} }`;
    const before = await server.keys(bucket);
    await server.policy(bucket, [{ effect: "Deny", actions: ["s3:PutObject"], on: ["vault/*"], account }]);
    const refused = await check(source, directory, storage);
    expect(refused).toMatchObject({ ok: false, problems: [expect.stringContaining("s3:PutObject")] });
    await server.policy(bucket, [{ effect: "Deny", actions: ["s3:DeleteObject"], on: ["vault/*"], account }]);
    expect(await check(source, directory, storage)).toMatchObject({ ok: true, problems: [], snapshots: 0 });
    expect(await server.keys(bucket)).toEqual(before);
    // How policies stand is asked by who may read snapshots alone, too.
    const file = join(directory, "backup.yaml");
    const policies = await loadPolicies(file, {});
    const { id } = await owner.backup({ source: database, name: "one" });
    await server.policy(bucket, [
      { effect: "Deny", actions: ["s3:PutObject", "s3:DeleteObject"], on: ["vault/*"], account },
      { effect: "Deny", actions: ["s3:GetObject"], on: ["vault/blobs/*", "vault/audit/*"], account },
    ]);
    await using service = new BackupService(policies, { logger, stateDirectory: false });
    expect(await service.status()).toMatchObject([{ snapshot: id, overdue: false }]);
    const [later] = await service.status({ maxAgeMs: 1 });
    expect(later).toMatchObject({ snapshot: id, overdue: true });
  });
});
