import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { arrow } from "../../../src/arrow/arrow.ts";
import { loadableTable } from "../../../src/arrow/writable.ts";
import { openBackupFile } from "../../../src/periodic/file/open-file.ts";
import { batchOf, type Row, rowsOf } from "./columns.ts";
import { full, temporaryDirectory, writeAll } from "./files.ts";

const field = (name: string, type: InstanceType<typeof arrow.DataType>) => new arrow.Field(name, type, true);

test.each(["json", "arrow"] as const)(
  "LanceDB takes the batches of a %s file and gives back the same",
  async (format) => {
    await using directory = await temporaryDirectory();
    const schema = new arrow.Schema([
      field("id", new arrow.Int64()),
      field("never", new arrow.Bool()),
      field("flag", new arrow.Bool()),
      field("vector", new arrow.FixedSizeList(2, field("item", new arrow.Float32()))),
      field("half", new arrow.FixedSizeList(2, field("item", new arrow.Float16()))),
      field(
        "inner",
        new arrow.Struct([field("none", new arrow.Bool()), field("text", new arrow.LargeUtf8())]),
      ),
      field("list", new arrow.List(field("item", new arrow.Bool()))),
      field("word", new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8())),
      field("at", new arrow.Timestamp(2, "Europe/Berlin")),
      field("price", new arrow.Decimal(2, 38, 128)),
      field("raw", new arrow.Binary()),
    ]);
    const row = (id: bigint, word: string): Row => ({
      id,
      never: null,
      flag: id % 3n === 0n ? null : id % 2n === 0n,
      vector: id % 3n === 0n ? null : [0x7fc00000n, 0x3f800000n],
      half: [0x3c00n, 0x7c00n],
      inner: { none: null, text: "ü" },
      list: [null, null],
      word,
      at: 1_700_000_000_123_456n + id,
      price: -(10n ** 30n) - id,
      raw: "00ff",
    });
    const rows = [row(1n, "a"), row(2n, "b"), row(3n, "c"), row(2n ** 62n, "a")];
    const path = directory.file();
    const upserts = [batchOf(schema, rows.slice(0, 2)), batchOf(schema, rows.slice(2))];
    await writeAll(path, format, full, [
      { head: { table: "t", form: "rows", schema, key: ["id"], indices: [] }, upserts },
    ]);

    const db = await connect(directory.path);
    await using file = await openBackupFile(path);
    for await (const table of file.tables()) {
      const batches = [];
      for await (const batch of table.batches("upserts")) batches.push(batch);
      const made = await db.createTable("t", loadableTable(table.head.schema!, batches));
      await made.add(loadableTable(table.head.schema!, batches.slice(0, 1))).catch((error) => {
        expect(String(error)).toMatch(/NaN/); // LanceDB's add refuses NaN vectors
      });
      await made
        .mergeInsert("id")
        .whenMatchedUpdateAll()
        .whenNotMatchedInsertAll()
        .execute(loadableTable(table.head.schema!, batches));
      const read = [];
      for await (const batch of made.query()) read.push(batch);
      const found = rowsOf(read).sort((a, b) => Number((a["id"] as bigint) - (b["id"] as bigint)));
      expect(found).toEqual(rows);
    }
    db.close();
  },
);
