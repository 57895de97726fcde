import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { Repository } from "lancedb-backup";
import { beforeEach, expect, test } from "vitest";
import type { RestoreReport, SnapshotDetails } from "../../src/repository/index.ts";
import { run } from "../cli/cli.ts";
import { countRows } from "../cli/fixture.ts";
import { newDirectory } from "../support/database.ts";

// `--at` is a question about a moment, not about a snapshot: the answer is in the one that has it, wherever that is.

interface Place {
  readonly directory: string;
  readonly vault: string;
  readonly repository: Repository;
  readonly moments: { readonly t0: Date; readonly t2: Date };
  readonly a: SnapshotDetails;
  readonly b: SnapshotDetails;
}

let place: Place;

const rows = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: from + index }));

/** A moment that nothing else has. */
async function moment(): Promise<Date> {
  const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
  await pause();
  const now = new Date();
  await pause();
  return now;
}

async function add(db: Connection, from: number): Promise<void> {
  const table = await db.openTable("words");
  await table.add(rows(from, 10));
}

beforeEach(async () => {
  const directory = await newDirectory();
  const uri = join(directory, "db");
  const db = await connect(uri);
  const repository = await Repository.init(join(directory, "vault"));
  const words = await db.createTable("words", rows(0, 10));
  const t0 = await moment();
  await add(db, 10);
  const a = await repository.backup({ source: uri, name: "nightly" });
  await add(db, 20);
  await words.checkoutLatest();
  await words.optimize({ cleanupOlderThan: new Date() });
  const t2 = await moment();
  await add(db, 30);
  await db.createTable("docs", rows(0, 5));
  const b = await repository.backup({ source: uri, name: "nightly" });
  db.close();
  place = { directory, vault: join(directory, "vault"), repository, moments: { t0, t2 }, a, b };
});

test.each(["latest", "nightly"])("%s at a moment is the earliest snapshot that has it", async (reference) => {
  const { repository, directory, moments, a, b } = place;
  const target = join(directory, "t0");
  const before = await repository.restore(reference, { target, at: moments.t0 });
  expect(before).toMatchObject({ snapshot: a.id, leftOut: [] });
  expect(await countRows(target, "words")).toBe(10);

  const then = await repository.restore(reference, { target: join(directory, "t2"), at: moments.t2 });
  expect(then.snapshot).toBe(b.id);
  expect(await countRows(join(directory, "t2"), "words")).toBe(30);
  expect(then.leftOut).toEqual([{ table: "docs", what: expect.stringContaining("oldest version") }]);

  await using opened = await repository.openSnapshot(reference, { at: moments.t0 });
  expect(await (await opened.openTable("words")).countRows()).toBe(10);
});

test("a snapshot that is named must have the moment; where another has it, that one is named", async () => {
  const { repository, directory, moments, a, b } = place;
  const target = join(directory, "restored");
  for (const [id, at, other] of [
    [a.id, moments.t2, b.id],
    [b.id, moments.t0, a.id],
  ] as const) {
    await expect(repository.restore(id, { target, at })).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringContaining(other),
    });
  }
  expect((await repository.restore(b.id, { target, at: moments.t2 })).snapshot).toBe(b.id);
});

test("a moment that is in no snapshot is refused, whichever is named", async () => {
  const { repository, directory, a, b } = place;
  const target = join(directory, "restored");
  for (const id of ["latest", a.id, b.id]) {
    for (const at of [new Date(Date.now() + 1000), new Date(0)]) {
      await expect(repository.restore(id, { target, at })).rejects.toMatchObject({ code: "VALIDATION" });
    }
  }
});

test("the command says what was left out, in text and JSON, with exit code 4", async () => {
  const { directory, vault, moments, b } = place;
  const env = { LANCEDB_BACKUP_REPO: vault };
  const at = moments.t2.toISOString();
  const text = await run(["restore", "latest", join(directory, "one"), "--at", at], { env });
  expect(text.code).toBe(4);
  const json = await run(["restore", b.id, join(directory, "two"), "--at", at, "--json"], { env });
  expect(json.code).toBe(4);
  const report = JSON.parse(json.stdout) as RestoreReport;
  expect(report.leftOut).toHaveLength(1);
  for (const { table, what } of report.leftOut) {
    expect(text.stdout).toContain(`${table}: ${what.slice(0, 40)}`);
  }
  const refused = await run(["restore", place.a.id, join(directory, "three"), "--at", at], { env });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain(b.id);
});

test("a table that was dropped since is looked for where it is, and named where it is nowhere", async () => {
  const { repository, directory } = place;
  const uri = join(directory, "db");
  const db = await connect(uri);
  const at = await moment();
  await db.dropTable("docs");
  const c = await repository.backup({ source: uri });
  db.close();
  const report = await repository.restore("latest", { target: join(directory, "restored"), at });
  expect(report.snapshot).toBe(c.id);
  expect(report.leftOut).toEqual([
    { table: "docs", what: expect.stringContaining(`snapshot ${place.b.id} has it`) },
  ]);
});

test("the one that is named says what it lacks of the moment too, in place with exit code 4", async () => {
  const { repository, directory, vault } = place;
  const uri = join(directory, "db");
  const db = await connect(uri);
  const at = await moment();
  await db.dropTable("docs");
  const c = await repository.backup({ source: uri });
  db.close();
  const lost = [{ table: "docs", what: expect.stringContaining(`snapshot ${place.b.id} has it`) }];
  const named = await repository.restore(c.id, { target: join(directory, "restored"), at });
  expect(named.leftOut).toEqual(lost);
  const args = ["restore", "latest", uri, "--in-place", "--yes", "--at", at.toISOString(), "--json"];
  const done = await run(args, { env: { LANCEDB_BACKUP_REPO: vault } });
  expect(done.code).toBe(4);
  expect((JSON.parse(done.stdout) as RestoreReport).leftOut).toEqual(lost);
});

test("a table that was dropped and made anew is not the one of the moment, whichever snapshot is named", async () => {
  const { repository, directory } = place;
  const uri = join(directory, "db");
  const db = await connect(uri);
  const at = await moment();
  await db.dropTable("docs");
  await db.createTable("docs", rows(0, 1));
  const c = await repository.backup({ source: uri });
  await (await db.openTable("docs")).add(rows(1, 1));
  const d = await repository.backup({ source: uri });
  db.close();
  for (const [index, id] of ["latest", c.id, d.id].entries()) {
    const report = await repository.restore(id, { target: join(directory, `anew-${index}`), at });
    expect(report.tables.map((table) => table.id)).toEqual(["words"]);
    expect(report.leftOut).toContainEqual({
      table: "docs",
      what: expect.stringContaining(`snapshot ${place.b.id} has it`),
    });
  }
});

test("what a backup of some tables does not tell of, an older one does", async () => {
  const { repository, directory } = place;
  const uri = join(directory, "db");
  const db = await connect(uri);
  await repository.backup({ source: uri, tables: ["words"] });
  const at = await moment();
  await db.dropTable("docs");
  await repository.backup({ source: uri });
  db.close();
  const report = await repository.restore("latest", { target: join(directory, "restored"), at });
  expect(report.leftOut).toEqual([
    { table: "docs", what: expect.stringContaining(`snapshot ${place.b.id} has it`) },
  ]);
});
