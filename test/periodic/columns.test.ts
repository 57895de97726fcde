import { readFileSync } from "node:fs";
import { connect, Index } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { applyDelta } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, tableOf } from "./harness.ts";

const int = new arrow.Int32();

function formOf(file: string | null): string {
  return JSON.parse(readFileSync(file ?? "", "utf8")).tables.w.form;
}

async function assertReplays(place: Place): Promise<void> {
  const target = place.fresh();
  await restoreLatest(place.backupDir, target, { logger: place.logger });
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
}

test("a column that was dropped and made again without values has the table written whole", async () => {
  await using place = new Place();
  const rows = tableOf({ id: [int, [1, 2, 3]], x: [int, [10, 20, 30]] });
  const table = await (await place.db()).createTable("w", rows);
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.dropColumns(["x"]);
  await table.addColumns([new arrow.Field("x", int, true)] as never);
  expect(formOf(await manager.backupDelta())).toBe("replaced");
  await assertReplays(place);
});

test("a column renamed to one that was dropped, and that one made again", async () => {
  await using place = new Place();
  const rows = tableOf({ id: [int, [1, 2]], a: [int, [10, 20]], b: [int, [-1, -2]] });
  const table = await (await place.db()).createTable("w", rows);
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.dropColumns(["a"]);
  await table.alterColumns([{ path: "b", rename: "a" }]);
  await table.addColumns([new arrow.Field("b", int, true)] as never);
  expect(formOf(await manager.backupDelta())).toBe("replaced");
  await assertReplays(place);
});

test("indices, compactions and members of structs do not have a table written whole", async () => {
  await using place = new Place();
  const struct = new arrow.Struct([new arrow.Field("q", int, true), new arrow.Field("id", int, true)]);
  const rows = (ids: readonly number[]) =>
    tableOf({ s: [struct, ids.map((q) => ({ q, id: 0 }))], id: [int, ids] });
  const table = await (await place.db()).createTable("w", rows([1, 2, 3]));
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.add(rows([4]));
  await table.createIndex("id", { config: Index.btree() });
  await table.optimize();
  await table.delete("id = 1");
  expect(formOf(await manager.backupDelta())).toBe("changes");
  await assertReplays(place);
});

test("a decimal that became a wider one of the same digits has the table written whole", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("w", tableOf({ id: [int, [1, 2]] }));
  await table.addColumns([{ name: "d", valueSql: "arrow_cast(id, 'Decimal128(10, 2)')" }]);
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.dropColumns(["d"]);
  await table.addColumns([{ name: "d", valueSql: "arrow_cast(id, 'Decimal256(10, 2)')" }]);
  const delta = await manager.backupDelta();
  expect(formOf(delta)).toBe("replaced");
  await assertReplays(place);
  const other = place.fresh();
  const db = await connect(other);
  const old = await db.createTable("w", tableOf({ id: [int, [1]] }));
  await old.addColumns([{ name: "d", valueSql: "arrow_cast(id, 'Decimal128(10, 2)')" }]);
  db.close();
  await table.update({ where: "id = 1", valuesSql: { d: "arrow_cast(5, 'Decimal256(10, 2)')" } });
  const changes = (await manager.backupDelta()) ?? "";
  expect(formOf(changes)).toBe("changes");
  await expect(applyDelta(other, changes)).rejects.toMatchObject({ code: "VALIDATION" });
});
