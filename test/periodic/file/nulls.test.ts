import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { arrow } from "../../../src/arrow/arrow.ts";
import { createBackupFile } from "../../../src/periodic/file/create-file.ts";
import { batchOf, type Row } from "./columns.ts";
import { full, readAll, temporaryDirectory, writeAll } from "./files.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  directory = await temporaryDirectory();
});
afterAll(() => directory[Symbol.asyncDispose]());

const field = (name: string, type: InstanceType<typeof arrow.DataType>) => new arrow.Field(name, type, true);
const strict = (type: InstanceType<typeof arrow.DataType>) => new arrow.Field("item", type, false);

describe.each(["json", "arrow"] as const)("in a %s file", (format) => {
  test.each<[string, InstanceType<typeof arrow.DataType>, Row["v"][], boolean]>([
    ["an item of a list", new arrow.List(strict(new arrow.Int64())), [null, [1n, null]], false],
    ["an item of a vector", new arrow.FixedSizeList(2, strict(new arrow.Int64())), [null, [1n, null]], false],
    ["a member", new arrow.Struct([strict(new arrow.Int64())]), [null, { item: null }], false],
    ["no item but under a null", new arrow.List(strict(new arrow.Int64())), [null, [1n], []], true],
    [
      "no item of a vector but under one",
      new arrow.FixedSizeList(2, strict(new arrow.Int64())),
      [null],
      true,
    ],
    ["no member but under one", new arrow.Struct([strict(new arrow.Int64())]), [null, { item: 1n }], true],
  ])("%s that must not be null is refused where it is", async (_what, type, values, isGood) => {
    const path = directory.file();
    const nested = new arrow.Schema([field("v", type)]);
    const upserts = [
      batchOf(
        nested,
        values.map((v) => ({ v })),
      ),
    ];
    await writeAll(path, format, full, [
      { head: { table: "t", form: "rows", schema: nested, key: [], indices: [] }, upserts },
    ]);
    const read = readAll(path);
    if (isGood) expect((await read).tables[0]?.upserts).toHaveLength(values.length);
    else await expect(read).rejects.toMatchObject({ code: "CORRUPT", message: /"v\.item" has nulls/ });
  });
});

test("a fixed-size list of no items is refused", async () => {
  const writer = await createBackupFile(directory.file(), "json", full);
  const none = new arrow.Schema([
    field("v", new arrow.FixedSizeList(0, new arrow.Field("item", new arrow.Int8()))),
  ]);
  await expect(
    writer.beginTable({ table: "t", form: "rows", schema: none, key: [], indices: [] }),
  ).rejects.toThrow(/no items/);
  await writer.abort();
});
