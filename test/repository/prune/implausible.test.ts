import { mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { snapshotName } from "../../../src/engine/format/names.ts";
import { ImplausibleError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/index.ts";
import { run, runJson } from "../../cli/cli.ts";
import { newPlace as newCommandPlace } from "../../cli/fixture.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";
import { PlainSource } from "../../support/plain-source.ts";
import { putSnapshot } from "../fixture.ts";
import { newPlace, type Place } from "./place.ts";

const day = (number: number) => new Date(Date.UTC(2026, 0, number));

/** Snapshots of these numbers of rows, a day each, written when they say. Answers with their ids. */
async function putRows(place: Place, ...rows: readonly number[]): Promise<string[]> {
  const ids: string[] = [];
  for (const [index, count] of rows.entries()) {
    const { id } = await putSnapshot(place.storage, { at: day(index + 1), rows: count });
    written(place, id, day(index + 1));
    ids.push(id);
  }
  return ids;
}

function written(place: Place, id: string, at: Date): void {
  utimesSync(join(place.storage.directory, snapshotName(id)), at, at);
}

const refusal = (place: Place, options: object) =>
  place.prune(options).then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof ImplausibleError) return error;
      throw error;
    },
  );

describe("a prune refuses to remove good snapshots behind implausible ones", () => {
  test("of a database that has shrunk step by step, so that no step was a fall", async () => {
    const place = await newPlace();
    const [first = "", second = ""] = await putRows(place, 10_000, 9_000, 6_000, 3_500, 2_000);
    const error = await refusal(place, { keepLast: 2 });
    expect(error?.code).toBe("IMPLAUSIBLE");
    expect(error?.snapshots.map(({ snapshot }) => snapshot)).toEqual(
      (await place.catalog.ids()).slice(0, 2).reverse(),
    );
    expect(error?.message).toMatch(
      new RegExp(`${second}: it has 9,000 rows, and there are 2,000 in .*force`),
    );
    expect((await place.catalog.ids()).length).toBe(5);
    const plan = await place.prune({ keepLast: 2, dryRun: true });
    expect(plan.endangered?.map(({ snapshot }) => snapshot)).toEqual([second, first]);
    expect(await place.prune({ keepLast: 2, force: true })).toMatchObject({
      dryRun: false,
      endangered: [{}, {}],
    });
    expect((await place.catalog.ids()).length).toBe(2);
  });

  test("and where one that stays is as good, or was never large, it goes on", async () => {
    for (const rows of [
      [10_000, 9_000, 8_000, 7_000],
      [99, 90, 12, 3],
      [10_000, 12, 9_000], // it fell, and came back
      [10_000, 9_000, 12], // a fall: the last one before it stays
    ]) {
      const place = await newPlace();
      await putRows(place, ...rows);
      expect(await refusal(place, { keepLast: 1 }), String(rows)).toBeUndefined();
    }
  });

  test("of what has no rows, by its files and bytes", async () => {
    const directory = await newDirectory();
    const files = join(directory, "files");
    mkdirSync(files);
    const repository = await Repository.init(join(directory, "vault"), { logger: silent });
    const source = new PlainSource(files);
    for (let index = 0; index < 40; index++) writeFileSync(join(files, `${index}.txt`), `text ${index}`);
    await repository.backup({ source });
    await repository.backup({ source });
    for (let index = 1; index < 40; index++) rmSync(join(files, `${index}.txt`));
    await repository.backup({ source });
    await expect(repository.prune({ keepLast: 1 })).rejects.toThrow(/it has 40 files, and there are 1 in/);
    expect((await repository.prune({ keepLast: 2 })).removed.length).toBe(1);
    writeFileSync(join(files, "0.txt"), Buffer.alloc(100_000));
    await repository.backup({ source });
    writeFileSync(join(files, "0.txt"), "");
    await repository.backup({ source });
    await expect(repository.prune({ keepLast: 1 })).rejects.toThrow(
      /it has 100,000 bytes, and there are 0 in/,
    );
    expect((await repository.list()).length).toBe(4);
  });

  test("where a clock was ahead: what was written later is dated earlier", async () => {
    const place = await newPlace();
    const ahead = await putSnapshot(place.storage, { at: day(300), rows: 500 });
    written(place, ahead.id, day(1));
    const right = await putSnapshot(place.storage, { at: day(9), rows: 500 });
    written(place, right.id, day(9));
    const error = await refusal(place, { keepLast: 1 });
    expect(error?.snapshots).toMatchObject([
      { snapshot: right.id, reason: expect.stringContaining("a clock was ahead") },
    ]);
    written(place, ahead.id, day(10)); // as if it had been copied here: nothing says that its date is wrong
    expect(await refusal(place, { keepLast: 1 })).toBeUndefined();
  });

  test("where a clock was behind: the one that was written last is dated before all others", async () => {
    const place = await newPlace();
    await putRows(place, 500, 500, 500);
    const behind = await putSnapshot(place.storage, { at: Date.UTC(2001, 1, 1), rows: 600 });
    written(place, behind.id, day(4));
    const error = await refusal(place, { keepLast: 2 });
    expect(error?.snapshots).toMatchObject([
      { snapshot: behind.id, reason: expect.stringContaining("a clock was behind") },
    ]);
    const later = await putSnapshot(place.storage, { at: day(5), rows: 600 });
    written(place, later.id, day(5));
    expect(await refusal(place, { keepLast: 2 })).toBeUndefined();
  });
});

test("the command shows what is refused, asks nothing, and does it with --force", async () => {
  const { env, database, repo } = await newCommandPlace();
  const repository = await Repository.open(repo, { logger: silent });
  const db = await connect(database);
  const table = await db.createTable(
    "many",
    Array.from({ length: 1000 }, (_, id) => ({ id })),
  );
  for (const below of [0, 450, 720]) {
    await table.delete(`id < ${below}`);
    await repository.backup({ source: database, tables: ["many"] });
  }
  db.close();
  const plan = await run(["prune", "--keep-last", "1", "--dry-run"], { env });
  expect(plan.stdout).toMatch(/Refused without --force: .* rows, and there are/);
  const refused = await run(["prune", "--keep-last", "1", "--yes"], { env });
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("prune with --force") });
  const forced = await runJson<{ removed: unknown[] }>(["prune", "--keep-last", "1", "--yes", "--force"], {
    env,
  });
  expect(forced.removed.length).toBeGreaterThan(0);
});
