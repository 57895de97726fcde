import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Data, Table } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { arrow } from "../../../src/arrow/arrow.ts";
import { batchOf, type Row, rowsOf } from "./columns.ts";
import { delta, full, position, temporaryDirectory, writeAll } from "./files.ts";

const field = (name: string, type: InstanceType<typeof arrow.DataType>) => new arrow.Field(name, type, true);
const schema = new arrow.Schema([
  field("id", new arrow.Int64()),
  field("vector", new arrow.FixedSizeList(2, field("item", new arrow.Float32()))),
  field("at", new arrow.Timestamp(2, "Europe/Berlin")),
  field("flag", new arrow.Bool()),
  field("price", new arrow.Decimal(2, 38, 128)),
  field("word", new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8())),
]);
const keys = new arrow.Schema([field("id", new arrow.Int64())]);
const row = (id: bigint, more: Row = {}): Row => ({
  id,
  vector: null,
  at: null,
  flag: null,
  price: null,
  word: null,
  ...more,
});
const rows = [
  row(2n ** 63n - 1n, {
    vector: [0x3dcccccdn, 0x7fc00000n],
    at: 1_762_346_096_789_012n,
    price: -1250n,
    word: 'a\n"',
  }),
  row(-1n, { vector: [0x80000000n, 0xff800000n], at: -(2n ** 63n), flag: true }),
];
const tables = [
  {
    head: {
      table: "ns$words",
      form: "changes",
      schema,
      key: ["id"],
      from: position(1),
      to: position(2),
      indices: [],
    },
    upserts: [batchOf(schema, rows.slice(0, 1)), batchOf(schema, rows.slice(1))],
    deletes: [batchOf(keys, [{ id: 7n }])],
  },
  { head: { table: "old", form: "dropped", key: [], indices: [] } },
] as const;

describe("a json file", () => {
  test("is JSON in which a person finds the rows", async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file();
    await writeAll(path, "json", delta, tables);
    const document = JSON.parse(await readFile(path, "utf8"));
    expect(document).toMatchObject({
      ...delta,
      format: 2,
      timestamp: 1_793_882_096.789_012,
      tables: {
        ns$words: { form: "changes", deletes: [7], to: position(2) },
        old: { form: "dropped" },
      },
    });
    expect(document.tables["ns$words"].fields[1]).toEqual({
      name: "vector",
      type: "fixed_size_list(float32, 2)",
      nullable: true,
    });
    expect(document.tables["ns$words"].upserts).toEqual([
      {
        id: "9223372036854775807",
        vector: [0.1, "NaN"],
        at: "2025-11-05T12:34:56.789012Z",
        flag: null,
        price: "-12.50",
        word: 'a\n"',
      },
      {
        id: -1,
        vector: ["-0", "-Infinity"],
        at: "-9223372036854775808",
        flag: true,
        price: null,
        word: null,
      },
    ]);
  });

  test("has a row a line, and its checksum can be computed by hand", async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file();
    const { sha256 } = await writeAll(path, "json", delta, tables);
    const bytes = await readFile(path);
    const lines = bytes.toString().split("\n");
    expect(lines.filter((line) => line.startsWith('{"id":'))).toHaveLength(2);
    expect(createHash("sha256").update(bytes.subarray(0, -67)).digest("hex")).toBe(sha256);
    expect(lines.at(-2)).toBe(`"sha256":"${sha256}"}`);
  });
});

describe("an arrow file", () => {
  test("is read by the reader in the documentation", async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file();
    await writeAll(path, "arrow", delta, tables);
    const read = await documentedReader();
    const backup = await read(path);
    expect(backup).toMatchObject({
      ...delta,
      timestamp: 1_793_882_096.789_012,
      tables: { old: { form: "dropped" } },
    });
    const words = backup.tables["ns$words"] as unknown as Record<"upserts" | "deletes", Table>;
    expect(rowsOf(words.upserts.batches)).toEqual(rows);
    expect(rowsOf(words.deletes.batches)).toEqual([{ id: 7n }]);
  });

  test("writes the values of a boolean column that is null throughout", async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file();
    const flags = new arrow.Schema([field("flag", new arrow.Bool())]);
    const upserts = [batchOf(flags, Array<Row>(9).fill({ flag: null }))];
    await writeAll(path, "arrow", full, [
      { head: { table: "t", form: "rows", schema: flags, key: [], indices: [] }, upserts },
    ]);
    const read = await documentedReader();
    const table = (await read(path)).tables["t"] as unknown as { rows: Table };
    const data = table.rows.batches[0]!.data.children[0] as Data;
    expect(data.nullCount).toBe(9);
    expect(data.values.byteLength).toBeGreaterThanOrEqual(2);
  });
});

type Reader = (path: string) => Promise<{ readonly tables: Record<string, object> }>;

async function documentedReader(): Promise<Reader> {
  const text = await readFile(new URL("../../../docs/formats.md", import.meta.url), "utf8");
  const code = /```js\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
  const body = code
    .replace(/^import .*$/gm, "")
    .replace("export async function readArrowBackup", "return async function");
  return new Function("readFile", "tableFromIPC", body)(readFile, arrow.tableFromIPC);
}
