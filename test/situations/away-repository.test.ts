import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { Repository } from "../../src/index.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";

const nightly = process.env["NIGHTLY"] === "1";
const TABLES = 40;
const TRIES = nightly ? 60 : 12;

async function place(tables: number) {
  const directory = await newDirectory();
  const uri = join(directory, "db");
  const db = await connect(uri);
  for (let number = 0; number < tables; number++)
    await db.createTable(`t${number}`, [{ id: number, text: "a row" }]);
  db.close();
  const location = join(directory, "repository");
  const repository = await Repository.init(location, { logger: silent });
  return { directory, uri, location, repository };
}

test("a database that is away for 1 to 25 ms during a backup: all tables are in it, or it is an error", async () => {
  const { uri, repository } = await place(TABLES);
  const outcomes: (number | string)[] = [];
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const running = repository.backup({ source: uri }).then(
      ({ tables }) => tables.length,
      (error: { code: string }) => error.code,
    );
    await sleep(Math.random() * 15);
    renameSync(uri, `${uri}.away`);
    await sleep(1 + Math.random() * 24);
    renameSync(`${uri}.away`, uri);
    outcomes.push(await running);
  }
  expect(outcomes.filter((outcome) => outcome !== TABLES && typeof outcome !== "string")).toEqual([]);
  expect(
    outcomes.filter((outcome) => outcome !== TABLES && outcome !== "IO" && outcome !== "VALIDATION"),
  ).toEqual([]);
  expect((await repository.backup({ source: uri })).tables.length).toBe(TABLES);
});

test("a database that is not there is not made by a backup", async () => {
  const { directory, uri, repository } = await place(1);
  renameSync(uri, `${uri}.away`);
  await expect(repository.backup({ source: uri })).rejects.toMatchObject({ code: "VALIDATION" });
  expect(readdirSync(directory).sort()).toEqual(["db.away", "repository"]);
});

test("a repository renamed away during a backup: an error, and it is not made again; the next backup and prune work", async () => {
  const { uri, location, repository } = await place(3);
  let gone = false;
  const backup = repository.backup({
    source: uri,
    onProgress: () => {
      if (!gone) renameSync(location, `${location}.away`);
      gone = true;
    },
  });
  await expect(backup).rejects.toMatchObject({ code: "IO", message: expect.stringContaining("is away") });
  expect(existsSync(location)).toBe(false);
  renameSync(`${location}.away`, location);
  expect(await repository.list()).toEqual([]);
  expect((await repository.backup({ source: uri, lockTimeoutMs: 5_000 })).tables.length).toBe(3);
  const { postponed } = await repository.prune({ graceHours: 0, lockTimeoutMs: 5_000 });
  expect(postponed).toBeUndefined();
});

test("a repository whose disk is not mounted: nothing is read from the empty directory, or written to it", async () => {
  const { uri, location, repository } = await place(1);
  await repository.backup({ source: uri });
  renameSync(location, `${location}.away`);
  mkdirSync(location);
  for (const call of [
    () => repository.backup({ source: uri }),
    () => repository.list(),
    () => repository.prune(),
    () => repository.verify(),
    () => repository.restore("latest", { target: `${uri}-restored` }),
  ]) {
    await expect(call()).rejects.toMatchObject({ code: "IO", message: expect.stringContaining("mounted") });
  }
  rmdirSync(location); // empty still
  renameSync(`${location}.away`, location);
  expect(await repository.list()).toHaveLength(1);
});

test("another repository at the place of the one that was opened is not taken for it", async () => {
  const { directory, uri, location, repository } = await place(1);
  const other = join(directory, "other");
  await Repository.init(other, { logger: silent });
  renameSync(location, `${location}.away`);
  renameSync(other, location);
  await expect(repository.backup({ source: uri })).rejects.toMatchObject({ code: "IO" });
  expect(existsSync(join(location, "snapshots"))).toBe(false);
});
