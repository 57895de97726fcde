import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { CorruptError, ShrunkError, ValidationError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { PAGE_BYTES, pieceBytes } from "../../../src/sources/piece-bytes.ts";
import { sourceFromUrl } from "../../../src/sources/source-from-url.ts";
import { run } from "../../cli/cli.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory, recordingLogger } from "../../support/database.ts";
import { readerOfTheDocs } from "../../support/documented-reader.ts";
import { addRows, counts, digestOf, makeDatabase, query, startWriter } from "./sqlite-fixture.ts";

async function newPlace(rows = 300) {
  const directory = await newDirectory();
  const path = join(directory, "app.db");
  makeDatabase(path, { rows });
  const { logger, logged } = recordingLogger();
  const repository = await Repository.init(join(directory, "repository"), { logger });
  return { directory, path, source: `sqlite:${path}`, repository, logged };
}

test("a database beside a busy writer is backed up, verified, and restored elsewhere and in place", async () => {
  const { directory, path, source, repository } = await newPlace();
  const writer = await startWriter(path);
  const taken = await repository.backup({ source, name: "nightly" });
  const done = await writer.stop();
  const [part] = taken.parts;
  expect(part).toMatchObject({
    source: { type: "sqlite", uri: source, id: sourceFromUrl(source).id },
    files: 1,
  });
  const results = await repository.verify("nightly", { restoreTest: true });
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
  expect(results.map(({ check }) => check)).toContain("restore:sqlite");
  const target = join(directory, "restored.db");
  await repository.restore("nightly", { target });
  const [ids, twins] = counts(target);
  expect(twins).toBe(ids);
  expect(ids).toBeGreaterThanOrEqual(300);
  await expect(repository.restore("nightly", { target: path })).rejects.toThrow(ValidationError);
  expect(counts(path)[0]).toBe(300 + done);
  const plan = await repository.restore("nightly", { target: path, mode: "in-place", dryRun: true });
  expect(plan).toMatchObject({ dryRun: true, mode: "in-place" });
  expect(counts(path)[0]).toBe(300 + done);
  await repository.restore("nightly", { target: `sqlite:${path}`, mode: "in-place" });
  expect(counts(path)).toEqual([ids, twins]);
  await expect(
    repository.restore("nightly", { target: join(directory, "x"), tables: ["ids"] }),
  ).rejects.toThrow(/whole/);
});

test("an unchanged database adds nothing; one that changed in a place, or grew, little", async () => {
  const { directory, source, path, repository } = await newPlace(0);
  const database = new DatabaseSync(path);
  database.exec(`DROP INDEX by_name; PRAGMA synchronous = OFF; CREATE INDEX by_id ON "twins ""x""" (id)`);
  addRows(database, 0, 25_000);
  const first = await repository.backup({ source });
  expect(first.bytes).toBeGreaterThan(10e6);
  expect((await repository.backup({ source })).storedBytes).toBe(0);
  database.exec(`UPDATE "twins ""x""" SET payload = randomblob(400) WHERE id BETWEEN 12500 AND 12749`);
  const changed = await repository.backup({ source });
  expect(changed.storedBytes / first.bytes).toBeLessThan(0.04);
  addRows(database, 25_000, 250);
  const grown = await repository.backup({ source });
  expect(grown.storedBytes / first.bytes).toBeLessThan(0.03);
  // A few pages of each table and index change with any row: of a small database no piece has more than one.
  expect(pieceBytes(3_000_000, { least: PAGE_BYTES })).toBe(4096);
  database.close();
  await repository.restore(changed.id, { target: join(directory, "back.db") });
  expect(counts(join(directory, "back.db"))).toEqual([25_000, 25_000]);
});

test("a table that lost its rows is told, and with failOnShrink no snapshot is made", async () => {
  const { source, path, repository } = await newPlace();
  await repository.backup({ source });
  query(path, 'DELETE FROM "twins ""x""" WHERE id > 10');
  query(path, "DELETE FROM ids WHERE id > 10");
  await expect(repository.backup({ source, failOnShrink: true })).rejects.toThrow(ShrunkError);
  const { shrunk } = await repository.backup({ source });
  const lost = { rowsBefore: 300, rows: 11, isGone: false };
  expect(shrunk).toEqual([
    { table: "ids", ...lost },
    { table: 'twins "x"', ...lost },
  ]);
});

test("damage makes no snapshot; rows that refer to nothing are a warning", async () => {
  const { source, path, repository, logged } = await newPlace(3000);
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
  database.exec('INSERT INTO "twins ""x""" VALUES (777777, NULL)');
  database.close();
  await repository.backup({ source });
  expect(logged.filter(({ level }) => level === "warn")).toMatchObject([
    { message: expect.stringContaining("foreign keys"), meta: { violations: [{ rows: 1 }] } },
  ]);
  const bytes = readFileSync(path);
  bytes.fill(0x5a, 40 * 4096, 41 * 4096);
  writeFileSync(path, bytes);
  await expect(repository.backup({ source })).rejects.toThrow(CorruptError);
  expect(await repository.list()).toHaveLength(1);
});

test("what was damaged in the repository is refused, and the target stays", async () => {
  const { directory, source, path, repository } = await newPlace(3000);
  const { id } = await repository.backup({ source });
  const blobs = readdirSync(join(directory, "repository/blobs"), { recursive: true, encoding: "utf8" });
  const blob =
    blobs.filter((name) => name.length > 60).map((name) => join(directory, "repository/blobs", name))[0] ??
    "";
  const bytes = readFileSync(blob);
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  chmodSync(blob, 0o644);
  writeFileSync(blob, bytes);
  const before = digestOf(path);
  await expect(repository.restore(id, { target: path, mode: "in-place" })).rejects.toThrow(CorruptError);
  await expect(repository.restore(id, { target: join(directory, "new.db") })).rejects.toThrow(CorruptError);
  expect(digestOf(path)).toBe(before);
  expect(existsSync(join(directory, "new.db"))).toBe(false);
  const results = await repository.verify(id, { restoreTest: true });
  expect(results.some(({ ok }) => !ok)).toBe(true);
});

test("a compact one, and one with an id of its own; what the kind does not have is refused", async () => {
  const { directory, source, path, repository } = await newPlace(3000);
  query(path, 'DELETE FROM "twins ""x"""');
  const whole = await repository.backup({ source });
  const own = ["--compact", "--source-id", "app", "--time-limit", "60"];
  const ran = await run(["backup", source, ...own, "--repo", join(directory, "repository")]);
  expect(ran).toMatchObject({ code: 0 });
  const compact = await repository.get("latest", { source: "app" });
  expect(compact.bytes).toBeLessThan(whole.bytes);
  expect(compact.parts[0]?.source.id).toBe("app");
  await expect(repository.backup({ source, sourceOptions: { jobs: 2 } })).rejects.toThrow(
    /jobs is not an option/,
  );
});

test("in an encoded repository it comes back the same, also by the reader that the docs print", async () => {
  const { directory, path } = await newPlace(3000);
  const location = join(directory, "encoded");
  const repository = await Repository.init(location, { logger: silent, compression: { algorithm: "zstd" } });
  const { id } = await repository.backup({ source: `sqlite:${path}` });
  await repository.restore("latest", { target: join(directory, "back.db") });
  expect(counts(join(directory, "back.db"))).toEqual([3000, 3000]);
  const { readSnapshot } = await readerOfTheDocs(directory);
  const [part] = readSnapshot(location, id);
  writeFileSync(join(directory, "read.db"), part?.files.get("database.sqlite") ?? "");
  expect(counts(join(directory, "read.db"))).toEqual([3000, 3000]);
});

test("on the command line it is an address where a database stands", async () => {
  const { directory, path, source } = await newPlace();
  const repo = join(directory, "repository");
  const done = async (...args: string[]) => {
    const ran = await run([...args, "--repo", repo]);
    expect([ran.code, ran.stderr]).toEqual([0, expect.not.stringContaining("Experimental")]);
    return ran.stdout;
  };
  await done("backup", source, "--name", "nightly");
  expect(await done("list")).toContain(source);
  expect(await done("verify", "nightly", "--restore-test")).toContain("600 rows");
  await done("restore", "nightly", join(directory, "back.db"));
  expect(counts(join(directory, "back.db"))).toEqual([300, 300]);
  query(path, 'DELETE FROM "twins ""x"""');
  expect((await run(["restore", "nightly", path, "--repo", repo])).code).toBe(2);
  expect(counts(path)).toEqual([300, 0]);
  await done("restore", "nightly", "--target-url", source, "--in-place", "--yes");
  expect(counts(path)).toEqual([300, 300]);
});
