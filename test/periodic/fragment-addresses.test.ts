import { join } from "node:path";
import { expect, test } from "vitest";
import { inspectTable } from "../../src/lance/put-back/table-state.ts";
import { ADDRESS, whereInFragments } from "../../src/lance/row-delta/addresses.ts";
import { rowRanges } from "../../src/lance/row-delta/differing-fragments.ts";
import { addressesIn, collectAddresses, scan } from "../../src/lance/row-delta/scan-rows.ts";
import { Place, rowsOf } from "./harness.ts";

/** Ten fragments of a hundred rows, some with deletions, one of them gone altogether. */
async function fragmented(place: Place) {
  const table = await (await place.db()).createTable("a", rowsOf(numbers(0)));
  for (let fragment = 1; fragment < 10; fragment++) await table.add(rowsOf(numbers(fragment * 100)));
  await table.delete("id % 7 = 3 AND id < 450");
  await table.delete("id >= 500 AND id < 600");
  const { head } = await inspectTable(join(place.uri, "a.lance"));
  return { table, manifest: head! };
}

const numbers = (from: number) => Array.from({ length: 100 }, (_, at) => from + at);

test("the addresses of any fragments are those that a filter finds", async () => {
  await using place = new Place();
  const { table, manifest } = await fragmented(place);
  for (const ids of [[0], [3, 4], [9], [0, 2, 4, 6, 8], [5], [4, 5, 6], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], []]) {
    const where = whereInFragments(ids);
    const expected = await collectAddresses(scan(table, { columns: [ADDRESS], where }));
    expect([...(await addressesIn({ table, manifest }, ids))], ids.join()).toEqual([...expected]);
  }
});

test("neighbours are one range", async () => {
  await using place = new Place();
  const { manifest } = await fragmented(place);
  expect(rowRanges(manifest, new Set([4, 6, 7]))).toHaveLength(1); // 5 is empty, and gone
  expect(rowRanges(manifest, new Set([1, 2, 8]))).toHaveLength(2);
});

test("a manifest of another version does not mislead: what it promises is held to what comes", async () => {
  await using place = new Place();
  const { table, manifest } = await fragmented(place);
  await table.delete("id % 5 = 0");
  for (const ids of [[1], [9], [2, 6]]) {
    const where = whereInFragments(ids);
    const expected = await collectAddresses(scan(table, { columns: [ADDRESS], where }));
    expect([...(await addressesIn({ table, manifest }, ids))], ids.join()).toEqual([...expected]);
  }
});
