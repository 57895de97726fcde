import { readdir, stat } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { arrow } from "../../../src/arrow/arrow.ts";
import type { TableHead } from "../../../src/periodic/file/backup-file.ts";
import { anyType, anyValue, batchOf, type Row, rowsOf } from "./columns.ts";
import { delta, full, position, readAll, temporaryDirectory, writeAll } from "./files.ts";

const runs = process.env["NIGHTLY"] === "1" ? 3_000 : 120;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  directory = await temporaryDirectory();
});
afterAll(() => directory[Symbol.asyncDispose]());

/** A schema, rows of it, and how the rows are cut into batches. */
const anyTable = fc
  .uniqueArray(fc.tuple(fc.stringMatching(/^[a-zA-Z_üß "\\-]{1,8}$/), anyType), {
    selector: ([name]) => name,
    minLength: 1,
    maxLength: 5,
  })
  .chain((columns) => {
    const row = fc.tuple(...columns.map(([, type]) => anyValue(type)));
    const rows = fc
      .array(row, { maxLength: 20 })
      .map((all) =>
        all.map(
          (values) => Object.fromEntries(columns.map(([name], index) => [name, values[index]!])) as Row,
        ),
      );
    const fields = columns.map(([name, type]) => new arrow.Field(name, type, true, new Map([["m", name]])));
    const schema = new arrow.Schema(fields, new Map([["made", "here"]]));
    return fc.record({ schema: fc.constant(schema), rows, cut: fc.nat(20), before: fc.nat(9) });
  });

describe.each(["arrow", "json"] as const)("a %s file", (format) => {
  test("gives back every value of every type, from sliced batches too", async () => {
    await fc.assert(
      fc.asyncProperty(anyTable, async ({ schema, rows, cut, before }) => {
        const path = directory.file();
        // Rows before the slice that must not be written: the last ones again.
        const first = batchOf(schema, [...rows.slice(-before), ...rows.slice(0, cut)]).slice(
          rows.slice(-before).length,
        );
        const upserts = [first, batchOf(schema, []), batchOf(schema, rows).slice(Math.min(cut, rows.length))];
        const head: TableHead = { table: "t", form: "rows", schema, key: [], indices: [] };
        const { sha256, bytes } = await writeAll(path, format, full, [{ head, upserts }]);
        const read = await readAll(path);
        expect(read.tables[0]!.upserts).toEqual(rows);
        expect(read.sha256).toBe(sha256);
        expect((await stat(path)).size).toBe(bytes);
        expect(schemaText(read.tables[0]!.head.schema!)).toEqual(schemaText(schema));
        expect(rowsOf([first])).toEqual(rows.slice(0, cut)); // the test's own reader
      }),
      { numRuns: runs },
    );
  });

  test("gives back what it says of itself and of its tables", async () => {
    const path = directory.file();
    const schema = new arrow.Schema([
      new arrow.Field("v", new arrow.Float32()),
      new arrow.Field("id", new arrow.Int64()),
    ]);
    const keys = new arrow.Schema([new arrow.Field("id", new arrow.Int64())]);
    const index = {
      name: "v_idx",
      columns: ["v"],
      type: "IvfPq",
      distanceType: "cosine",
      details: { hnsw: { m: 1 } },
    };
    const heads: TableHead[] = [
      {
        table: "ns$changed",
        form: "changes",
        schema,
        key: ["id"],
        from: position(3),
        to: position(9),
        indices: [index],
      },
      { table: "__proto__", form: "replaced", schema, key: ["id"], to: position(1), indices: [] },
      { table: "gone", form: "dropped", key: [], from: position(2), indices: [] },
    ];
    const rows: Row[] = [{ v: 0x3f800000n, id: 2n ** 62n }];
    await writeAll(path, format, delta, [
      {
        head: heads[0]!,
        upserts: [batchOf(schema, rows)],
        deletes: [batchOf(keys, [{ id: 1n }, { id: -1n }])],
      },
      { head: heads[1]!, upserts: [batchOf(schema, rows)] },
      { head: heads[2]! },
    ]);
    const read = await readAll(path);
    expect(read.head).toEqual(delta);
    expect(read.tables.map((table) => ({ ...table.head, schema: undefined }))).toEqual(
      heads.map((head) => ({ ...head, schema: undefined })),
    );
    expect(read.tables.map((table) => [table.upserts, table.deletes])).toEqual([
      [rows, [{ id: 1n }, { id: -1n }]],
      [rows, []],
      [[], []],
    ]);
  });

  test("can be without tables", async () => {
    const path = directory.file();
    await writeAll(path, format, full, []);
    expect(await readAll(path)).toMatchObject({ head: full, tables: [] });
  });

  test("leaves nothing else beside it", async () => {
    await using own = await temporaryDirectory();
    await writeAll(own.file(), format, full, []);
    expect(await readdir(own.path)).toHaveLength(1);
  });
});

function schemaText(schema: InstanceType<typeof arrow.Schema>) {
  const field = (f: InstanceType<typeof arrow.Field>): unknown => [
    f.name,
    String(f.type),
    f.nullable,
    [...f.metadata],
    (f.type.children as InstanceType<typeof arrow.Field>[] | null)?.map(field),
  ];
  return [schema.fields.map(field), [...schema.metadata]];
}
