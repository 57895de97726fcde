import { describe, expect, test } from "vitest";
import { insertRecordsWithBackup } from "../../../src/guard/write/insert-records.ts";
import { arrow, newPlace } from "./harness.ts";

const WIDTH = 256;
const ROWS = 300_000;

/** Rows of a kilobyte each, made as they are asked for. */
function* batchesOfRows(rows: number, size: number) {
  for (let from = 0; from < rows; from += size) {
    yield Array.from({ length: size }, (_, index) => ({
      id: BigInt(from + index),
      text: `row ${from + index}`,
      vector: new Float32Array(WIDTH).fill(index),
    }));
  }
}

function* recordBatches(rows: number, size: number) {
  const item = new arrow.Field("item", new arrow.Float32(), true);
  for (let from = 0; from < rows; from += size) {
    const ids = arrow.makeVector(BigInt64Array.from({ length: size }, (_, index) => BigInt(from + index)));
    const child = arrow.makeData({
      type: new arrow.Float32(),
      length: size * WIDTH,
      data: new Float32Array(size * WIDTH),
    });
    const vector = arrow.makeVector(
      arrow.makeData({ type: new arrow.FixedSizeList(WIDTH, item), length: size, nullCount: 0, child }),
    );
    yield new arrow.Table({ id: ids, vector });
  }
}

function* oneByOne<T>(batches: Iterable<readonly T[]>) {
  for (const batch of batches) yield* batch;
}

/** The most that the process's memory grew above the start while `work` ran, in bytes. */
async function growthDuring(work: () => Promise<unknown>): Promise<number> {
  const start = process.memoryUsage().rss;
  let peak = start;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss);
  }, 5);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.max(peak, process.memoryUsage().rss) - start;
}

describe("memory does not grow with a stream", () => {
  // The rows make 300 MB of vectors, which held whole would be in memory two times at least.
  const limit = 450 * 1024 * 1024;

  test.each([
    ["objects", () => batchesOfRows(ROWS, 1000)],
    ["objects, one by one", () => oneByOne(batchesOfRows(ROWS, 1000))],
    ["Arrow tables", () => recordBatches(ROWS, 10_000)],
  ])("%s", async (_, data) => {
    const { manager, db } = await newPlace();
    const options = { table: "t", strategy: "lance-version", manager } as const;
    await insertRecordsWithBackup(batchesOfRows(20_000, 1000), { ...options, table: "warm" });
    const growth = await growthDuring(async () => {
      const result = await insertRecordsWithBackup(data(), { ...options, mergeOn: "id" });
      expect(result).toMatchObject({ insertedRows: ROWS, updatedRows: 0 });
    });
    expect(await (await db.openTable("t")).countRows()).toBe(ROWS);
    expect(growth).toBeLessThan(limit);
  });
});

test("small batches are written together", async () => {
  const { manager, db } = await newPlace();
  const result = await insertRecordsWithBackup(batchesOfRows(5_000, 10), {
    table: "t",
    strategy: "lance-version",
    manager,
  });
  expect(result).toMatchObject({ version: 1, insertedRows: 5_000 });
  expect(await (await db.openTable("t")).countRows("id = 4999")).toBe(1);
});
