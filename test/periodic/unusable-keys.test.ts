import { join } from "node:path";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { createBackupFile } from "../../src/periodic/file/create-file.ts";
import { applyDelta } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, tableOf } from "./harness.ts";

const int = new arrow.Int32();

test.each([
  ['a"b', 'a"b'],
  ["*", "*"],
  ["id", "__action"],
  ["id", "__common_expr_3"],
])(
  "the key %j beside a column %j, with which LanceDB merges nothing, is refused before a file is written",
  async (key, column) => {
    await using place = new Place();
    const columns = { [key]: [int, [1, 2]], [column]: [int, [1, 2]] } as const;
    const table = await (await place.db()).createTable("w", tableOf(columns as never));
    await expect(place.manager({ incremental: true, primaryKey: key }).backupNow()).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringContaining(`${JSON.stringify(column)}`),
    });
    expect(place.files()).toEqual([]);
    await place.manager({ primaryKey: key }).backupNow();
    const target = place.fresh();
    await restoreLatest(place.backupDir, target);
    expect(await contentOf(target)).toEqual(await contentOf(place.uri));
    table.close();
  },
);

test("a key of decimals with a negative scale is refused before a file is written", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("w", tableOf({ n: [int, [1, 2]] }));
  await table.addColumns([{ name: "k", valueSql: "arrow_cast(n * 100, 'Decimal128(20, -2)')" }]);
  await expect(place.manager({ incremental: true, primaryKey: "k" }).backupNow()).rejects.toMatchObject({
    code: "VALIDATION",
    message: /table w by its column "k"/,
  });
  expect(place.files()).toEqual([]);
});

test("a delta of which one table can never be merged leaves the other tables alone, too", async () => {
  await using place = new Place();
  const db = await place.db();
  // A file as it could be written before such keys were refused.
  const path = join(place.root, "lancedb_delta_1_000000.json");
  const head = { type: "delta", database: "d", timestamp: "1970-01-01T00:00:01.000000Z" } as const;
  const writer = await createBackupFile(path, "json", head);
  for (const [table, key] of [
    ["a", "id"],
    ["z", 'q"'],
  ] as const) {
    const rows = (ids: readonly number[]) => tableOf({ [key]: [int, ids] });
    const { schema } = await (await db.createTable(table, rows([1, 2]))).toArrow();
    await writer.beginTable({ table, form: "changes", schema, key: [key], indices: [] });
    for (const batch of rows([3]).batches) await writer.write("upserts", batch);
    await writer.endTable();
  }
  await writer.finish();
  const before = await contentOf(place.uri);
  await expect(applyDelta(place.uri, path)).rejects.toMatchObject({
    code: "VALIDATION",
    message: expect.stringContaining("table z by the column"),
  });
  expect(await contentOf(place.uri)).toEqual(before);
});
