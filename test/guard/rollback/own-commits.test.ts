import { join } from "node:path";
import { expect, test } from "vitest";
import { type Incarnation, ownVersions } from "../../../src/guard/rollback/work-history.ts";

import { type CommitMark, markOfAppend, markOfDelete } from "../../../src/lance/commit-kind.ts";
import { digestOfVersion } from "../../../src/lance/put-back/table-state.ts";
import { newDatabase } from "../../support/database.ts";

/** A process committed version 2 and died inside of an append; then version 3 is found. */
async function killedInAppend() {
  const { db, uri } = await newDatabase();
  const table = await db.createTable("t", [{ id: 1 }]);
  for (const id of [2, 3]) await table.add([{ id }]);
  const dataset = join(uri, "t.lance");
  const [first, second, third] = [1, 2, 3].map((version) => digestOfVersion(dataset, version));
  const died = (digests: { captured?: string | undefined; second?: string | undefined }) => {
    const open = [{ kinds: ["append"] as const, above: 2, several: false }];
    const incarnation: Incarnation = { ours: new Map([[2, digests.second]]), open };
    const captured = { version: 1, digest: digests.captured ?? "" };
    return ownVersions(dataset, incarnation, captured, Date.now());
  };
  return { first, second, third, died };
}

test("an intent that was left open explains the commit that follows ours", async () => {
  const { first, second, third, died } = await killedInAppend();
  const { ours, doubtful } = await died({ captured: first, second });
  expect([...ours]).toEqual([
    [2, second],
    [3, third],
  ]);
  expect(doubtful).toEqual([]);
});

test("it explains nothing in a table that others have made anew", async () => {
  const { first, second, died } = await killedInAppend();
  for (const digests of [
    { captured: first, second: "another" },
    { captured: "another", second },
  ]) {
    const { ours, doubtful } = await died(digests);
    expect([...ours]).toEqual([[2, digests.second]]);
    expect(doubtful).toEqual([]);
  }
});

test("an append of another number of rows, and a delete by another predicate, are not what was left open", async () => {
  const { db, uri } = await newDatabase();
  const table = await db.createTable("t", [{ id: 1 }]);
  await table.add([{ id: 2 }, { id: 3 }]);
  await table.delete("`id` IN (2)");
  const dataset = join(uri, "t.lance");
  const captured = { version: 1, digest: digestOfVersion(dataset, 1) };
  const assumedBy = async (kind: "append" | "delete", mark: CommitMark | undefined) => {
    const open = [{ kinds: [kind], above: 1, several: false, mark }];
    return (await ownVersions(dataset, { ours: new Map(), open }, captured, Date.now())).assumed;
  };
  expect(await assumedBy("append", markOfAppend([{}]))).toEqual([]);
  expect(await assumedBy("append", markOfAppend({ numRows: 3 }))).toEqual([]);
  expect(await assumedBy("append", markOfAppend([{}, {}]))).toEqual([2]);
  expect(await assumedBy("append", markOfAppend(new Set([{}])))).toEqual([2]);
  expect(await assumedBy("delete", markOfDelete("id IN (2)"))).toEqual([]);
  expect(await assumedBy("delete", markOfDelete("`id` IN (2)"))).toEqual([3]);
  expect(await assumedBy("delete", undefined)).toEqual([3]);
});
