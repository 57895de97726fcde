import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { Field, Int32, Schema, Utf8 } from "apache-arrow";
import { expect, onTestFinished, test } from "vitest";
import { Repository } from "../../src/index.ts";
import { excluder } from "../../src/lance/left-out.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";

// One table that cannot be backed up, or need not be, is not in the way of all the others.

async function arrange() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  onTestFinished(() => db.close());
  await makeSampleTable(db, "main");
  await makeSampleTable(db, "other");
  const { logger, logged } = recordingLogger();
  const repository = await Repository.init(location, { logger });
  const warnings = () => logged.filter(({ level }) => level === "warn").map(({ meta }) => meta);
  return { directory, uri, db, repository, warnings };
}

async function makeLsmTable(db: Connection): Promise<void> {
  const schema = new Schema([new Field("id", new Int32(), false), new Field("text", new Utf8())]);
  const table = await db.createTable("lsm", [{ id: 1, text: "x" }], { schema });
  await table.setUnenforcedPrimaryKey("id");
  await table.setLsmWriteSpec({ specType: "unsharded" });
}

test("tables that cannot be captured in full are left out where that is asked for, named in snapshot and warning", async () => {
  const { directory, uri, db, repository, warnings } = await arrange();
  await db.cloneTable("clone", join(uri, "main.lance"));
  await makeLsmTable(db);
  await expect(repository.backup({ source: uri })).rejects.toMatchObject({ code: "UNSUPPORTED" });
  const taken = await repository.backup({ source: uri, onUnsupported: "leave-out" });
  const leftOut = [
    { table: "clone", why: "unsupported", what: expect.stringMatching(/shallow clone/) },
    { table: "lsm", why: "unsupported", what: expect.stringMatching(/LSM/) },
  ];
  expect(taken.tables.map(({ id }) => id)).toEqual(["main", "other"]);
  expect(taken.leftOut).toEqual(leftOut);
  expect((await repository.get("latest")).leftOut).toEqual(leftOut);
  expect((await repository.list())[0]?.leftOut).toEqual(leftOut);
  expect(warnings()).toEqual(leftOut);
  expect((await repository.verify("latest", { restoreTest: true })).filter(({ ok }) => !ok)).toEqual([]);
  const { leftOut: told } = await repository.restore("latest", { target: join(directory, "restored") });
  expect(told.map(({ table }) => table)).toEqual(["clone", "lsm"]);
});

test("excluded tables are not looked at, whatever they are, and the next backup can have them", async () => {
  const { uri, db, repository } = await arrange();
  await db.cloneTable("tmp_clone", join(uri, "main.lance"));
  await db.createNamespace(["ns"]);
  await makeSampleTable(db, "tmp", { namespacePath: ["ns"], rows: 5 });
  await makeSampleTable(db, "kept", { namespacePath: ["ns"], rows: 5 });
  const taken = await repository.backup({ source: uri, exclude: ["tmp_*", "ns$tmp", "nothing"] });
  expect(taken.tables.map(({ id }) => id)).toEqual(["__manifest", "main", "ns$kept", "other"]);
  expect(taken.leftOut?.map(({ table, why }) => `${table} ${why}`)).toEqual([
    "ns$tmp excluded",
    "tmp_clone excluded",
  ]);
  await using opened = await repository.openSnapshot("latest");
  expect(await opened.tableNames(["ns"])).toEqual(["kept"]);
  const next = await repository.backup({ source: uri, exclude: ["tmp_clone"] });
  expect(next.tables.map(({ id }) => id)).toContain("ns$tmp");
  await db.dropTable("tmp_clone");
  expect((await repository.backup({ source: uri })).leftOut).toBeUndefined();
});

test("of a table that was on the LSM write path once, the versions of that time are left out", async () => {
  const { uri, db, repository } = await arrange();
  await makeLsmTable(db);
  await (await db.openTable("lsm")).unsetLsmWriteSpec();
  const taken = await repository.backup({ source: uri, onUnsupported: "leave-out" });
  const lsm = taken.tables.find(({ id }) => id === "lsm");
  expect(lsm?.versions.map(({ version }) => version)).toEqual([1, 2, 4]);
  expect(lsm?.leftOut).toEqual([expect.stringMatching(/^version 3: .*LSM/)]);
  expect(taken.leftOut).toBeUndefined();
});

test("a backup without a single table is refused, and says what was left out", async () => {
  const { uri, repository } = await arrange();
  const failing = repository.backup({ source: uri, exclude: ["*"] });
  await expect(failing).rejects.toMatchObject({ code: "VALIDATION", message: /left out.*main: it was excl/ });
  expect((await repository.backup({ source: uri, exclude: ["*"], allowEmpty: true })).tables).toEqual([]);
});

test("a table that a dead process left half-written, and that is excluded, is in nobody's way", async () => {
  const { uri, repository } = await arrange();
  const entry = join(uri, ".lancedb-backup/journal/backup_1795250642");
  mkdirSync(join(entry, "tables"), { recursive: true });
  for (const name of ["armed.json", "tables/main"]) writeFileSync(join(entry, name), "");
  await expect(repository.backup({ source: uri })).rejects.toMatchObject({ code: "LOCKED" });
  const taken = await repository.backup({ source: uri, exclude: ["main"] });
  expect(taken.tables.map(({ id }) => id)).toEqual(["other"]);
});

test.each([
  [{ exclude: "main" }, /array/],
  [{ exclude: [7] }, /not number/],
  [{ exclude: [""] }, /empty pattern/],
  [{ exclude: ["__manifest"] }, /__manifest/],
  [{ onUnsupported: "skip" }, /"fail" or "leave-out"/],
])("%o is refused", async (options, message) => {
  const { uri, repository } = await arrange();
  await expect(repository.backup({ source: uri, ...(options as object) })).rejects.toThrow(message);
  expect(await repository.list()).toEqual([]);
});

test.each([
  ["tmp_*", ["tmp_", "tmp_1", "tmp_a$b"], ["xtmp_1", "tmp"]],
  ["ns$*", ["ns$t", "ns$a$t"], ["ns", "nsxt"]],
  ["t?", ["t1", "té"], ["t", "t12"]],
  ["a.b-c", ["a.b-c"], ["axb-c"]],
  ["*", ["t", "ns$t"], ["__manifest"]],
])("the pattern %s", (pattern, fitting, others) => {
  const isExcluded = excluder([pattern]);
  expect(fitting.filter((id) => !isExcluded(id))).toEqual([]);
  expect(others.filter(isExcluded)).toEqual([]);
});
