import * as lancedb from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { ValidationError } from "../../../src/errors.ts";
import {
  type InsertRecordsOptions,
  insertRecordsWithBackup,
} from "../../../src/guard/write/insert-records.ts";
import { arrow, errorOf, newPlace, type Place, stateOf, tableNames } from "./harness.ts";

const { Field } = arrow;
const vector = (size: number, type = new arrow.Float32()) =>
  new arrow.FixedSizeList(size, new Field("item", type, true));
const schema = new arrow.Schema([
  new Field("id", new arrow.Int64(), true),
  new Field("must", new arrow.Utf8(), false),
  new Field("vector", vector(3), true),
  new Field("small", new arrow.Int8(), true),
  new Field("count", new arrow.Uint32(), true),
  new Field("ratio", new arrow.Float32(), true),
  new Field("half", new arrow.Float16(), true),
  new Field("flag", new arrow.Bool(), true),
  new Field("at", new arrow.Timestamp(arrow.TimeUnit.SECOND, "UTC"), true),
  new Field("day", new arrow.DateDay(), true),
  new Field("time", new arrow.TimeSecond(), true),
  new Field("raw", new arrow.Binary(), true),
  new Field("code", new arrow.FixedSizeBinary(2), true),
  new Field("price", new arrow.Decimal(2, 5, 128), true),
  new Field("tags", new arrow.List(new Field("item", new arrow.Utf8(), true)), true),
  new Field("many", new arrow.List(new Field("item", vector(2), true)), true),
  new Field("bytes", new arrow.FixedSizeList(2, new Field("item", new arrow.Uint8(), true)), true),
  new Field(
    "inner",
    new arrow.Struct([
      new Field("a", new arrow.Int32(), true),
      new Field("v", vector(2), true),
      new Field("must", new arrow.Utf8(), false),
    ]),
    true,
  ),
]);
const good = { id: 1n, must: "x", vector: [1, 2, 3] };

/** What is bad about a row, the columns that make it so, and what the message says besides row and column. */
const badRows: [string, Record<string, unknown>, string, RegExp][] = [
  ["a vector that is too short", { vector: [1, 2] }, "vector", /2 values where the column holds 3/],
  [
    "a vector that is too long",
    { vector: new Float32Array(4) },
    "vector",
    /4 values where the column holds 3/,
  ],
  ["an empty vector", { vector: [] }, "vector", /0 values/],
  ["NaN in a vector", { vector: [1, Number.NaN, 3] }, "vector", /NaN at place 1/],
  ["infinity in a vector", { vector: Float32Array.of(1, 2, -Infinity) }, "vector", /-Infinity at place 2/],
  ["null in a vector", { vector: [1, null, 3] }, "vector", /null at place 1/],
  ["a string in a vector", { vector: [1, 2, "3"] }, "vector", /"3" at place 2/],
  ["a string as a vector", { vector: "1,2,3" }, "vector", /not an array/],
  ["a number that overflows a vector of floats", { vector: [1, 2, 1e39] }, "vector", /Infinity at place 2/],
  [
    "a bad vector in a list of vectors",
    {
      many: [
        [1, 2],
        [3, Number.NaN],
      ],
    },
    "many[]",
    /NaN at place 1/,
  ],
  [
    "a short vector in a list of vectors",
    { many: [[1, 2], [3]] },
    "many[]",
    /1 values where the column holds 2/,
  ],
  ["a bad vector in a struct", { inner: { must: "x", v: [Number.NaN, 1] } }, "inner.v", /NaN/],
  ["a column that the table lacks", { extra: 1 }, '"extra"', /no such column/],
  ["a field that a struct lacks", { inner: { must: "x", b: 1 } }, "inner", /no field "b"/],
  ["null where none is allowed", { must: null }, "must", /allows none/],
  ["nothing where a value must be", { must: undefined }, "must", /allows no/],
  ["null inside a struct where none is allowed", { inner: { a: 1 } }, "inner.must", /allows none/],
  ["a string as an integer", { id: "1" }, "id", /"1" is not a whole number/],
  ["a fraction as an integer", { small: 1.5 }, "small", /1\.5 is not a whole number/],
  ["NaN as an integer", { small: Number.NaN }, "small", /NaN is not a whole number/],
  ["an integer out of range", { small: 128 }, "small", /128 is outside .* -128 to 127/],
  ["a bigint out of range", { count: -1n }, "count", /-1 is outside/],
  ["an integer beyond 64 bits", { id: 2n ** 63n }, "id", /9223372036854775808 is outside/],
  ["a number that is no safe integer", { id: 2 ** 53 }, "id", /bigint/],
  ["a boolean as a number", { ratio: true }, "ratio", /not a number/],
  ["a number too large for a float", { ratio: 1e39 }, "ratio", /too large/],
  ["a number too large for a half", { half: 70_000 }, "half", /too large/],
  ["a bigint that no float holds", { ratio: 2n ** 60n + 1n }, "ratio", /exactly/],
  ["a number as a boolean", { flag: 1 }, "flag", /1 is not a boolean/],
  ["a number as a string", { must: 7 }, "must", /7 is not a string/],
  ["half of a surrogate pair", { must: "a\uD800b" }, "must", /surrogate/],
  ["an invalid Date", { at: new Date("x") }, "at", /invalid Date/],
  ["a string as a timestamp", { at: "2024-01-01" }, "at", /not a Date/],
  ["milliseconds in a column of seconds", { at: new Date(1) }, "at", /seconds/],
  ["a Date that is no whole day", { day: new Date(1) }, "day", /midnight/],
  ["a time of day past midnight", { time: 86_400 }, "time", /not a time of day/],
  ["a string as bytes", { raw: "abc" }, "raw", /not binary/],
  ["too few bytes", { code: Uint8Array.of(1) }, "code", /1 bytes where the column holds 2/],
  ["a decimal with too many places", { price: "1.234" }, "price", /2 digits after the point/],
  ["a decimal with too many digits", { price: "1234.5" }, "price", /more digits/],
  ["a decimal that is no number", { price: "ten" }, "price", /not a decimal/],
  ["a string as a list", { tags: "a" }, "tags", /not an array/],
  ["a number in a list of strings", { tags: ["a", 1] }, "tags[]", /1 is not a string/],
  ["a fixed list of another length", { bytes: [1] }, "bytes", /1 values where the column holds 2/],
  ["a list as a struct", { inner: [1] }, "inner", /not an object/],
];

async function place() {
  const made = await newPlace();
  const table = await made.db.createEmptyTable("t", schema);
  await insert(made, [good]);
  return {
    ...made,
    version: async () => (await (await made.db.openTable("t")).version()) - (await table.version()),
  };
}

const insert = (at: Place, data: unknown, given: Partial<InsertRecordsOptions> = {}) =>
  insertRecordsWithBackup(data as Iterable<object>, {
    table: "t",
    strategy: "lance-version",
    manager: at.manager,
    ...given,
  });

describe("a bad row is refused before anything is written", () => {
  test.each(badRows)("%s", async (_, bad, column, message) => {
    const at = await place();
    const rows = [good, { ...good, id: 2n }, { ...good, id: 3n, ...bad }, { ...good, id: 4n, ...bad }];
    for (const given of [
      {},
      { mergeOn: "id" },
      { mergeOn: "id", whenMatched: "keep" },
      { mode: "overwrite" },
    ] as const) {
      const error = (await errorOf(() => insert(at, rows, given))) as Error;
      expect(error).toBeInstanceOf(ValidationError);
      expect(error.message).toMatch(/^Row 2\b/);
      expect(error.message).toContain(column);
      expect(error.message).toMatch(message);
    }
    expect(await at.version()).toBe(1);
  });
});

test("the row is counted over all batches of a stream", async () => {
  const at = await place();
  const before = await stateOf(at.db, "t");
  const data = [[good, good], [], [good], [good, { ...good, vector: [1] }]].values();
  expect(((await errorOf(() => insert(at, data))) as Error).message).toContain('Row 4, column "vector"');
  expect(await stateOf(at.db, "t")).toEqual(before);
});

describe("rows that are none", () => {
  test.each([[null], [undefined], [7], ["row"], [new Date()], [new Uint8Array(2)], [new Map()]])(
    "%s",
    async (row) => {
      const at = await place();
      const error = (await errorOf(() => insert(at, [good, row]))) as Error;
      expect(error).toBeInstanceOf(ValidationError);
      expect(error.message).toMatch(/^Row 1 is not an object/);
      await expect(insert(at, [good, row], { table: "new" })).rejects.toThrow(/^Row 1 is not an object/);
      expect(await at.version()).toBe(1);
    },
  );
});

describe("Arrow data is held to the same rules", () => {
  const column = (type: ConstructorParameters<typeof Field>[1], values: unknown[]) =>
    arrow.vectorFromArray(values, type);
  const tableOf = (columns: Record<string, ReturnType<typeof column>>) =>
    new arrow.Table({ must: column(new arrow.Utf8(), ["a", "b", "c"]), ...columns });
  const cases: [string, Record<string, ReturnType<typeof column>>, RegExp][] = [
    [
      "vectors of another dimension",
      { vector: column(vector(2), [null, [1, 2], [3, 4]]) },
      /Row 1, column "vector": 2 values where the column holds 3/,
    ],
    [
      "NaN in a vector",
      {
        vector: column(vector(3), [
          [1, 2, 3],
          [1, 2, Number.NaN],
          [0, 0, 0],
        ]),
      },
      /Row 1, column "vector": NaN at place 2/,
    ],
    [
      "null in a vector",
      {
        vector: column(vector(3), [
          [1, 2, 3],
          [1, null, 2],
          [0, 0, 0],
        ]),
      },
      /Row 1, column "vector": null at place 1/,
    ],
    [
      "a column that the table lacks",
      { extra: column(new arrow.Int8(), [1, 2, 3]) },
      /Row 0, column "extra": the table has no such column/,
    ],
    [
      "null where none is allowed",
      { must: column(new arrow.Utf8(), ["a", null, "c"]) },
      /Row 1, column "must": null/,
    ],
    [
      "text for a number",
      { small: column(new arrow.Utf8(), ["1", "2", "3"]) },
      /Row 0, column "small": the data has the type Utf8, the table Int8/,
    ],
    [
      "fractions for integers",
      { small: column(new arrow.Float64(), [1, 2, 2.5]) },
      /Row 2, column "small": 2\.5 is not a whole number/,
    ],
    [
      "integers out of range",
      { small: column(new arrow.Int32(), [1, 300, 2]) },
      /Row 1, column "small": 300 is outside/,
    ],
    [
      "another unit of time",
      { at: column(new arrow.Timestamp(arrow.TimeUnit.MILLISECOND, "UTC"), [1, 2, 3]) },
      /Row 0, column "at": the data has the type/,
    ],
  ];
  test.each(cases)("%s", async (_, columns, message) => {
    const at = await place();
    await expect(insert(at, tableOf(columns))).rejects.toThrow(message);
    await expect(insert(at, tableOf(columns))).rejects.toThrow(ValidationError);
    expect(await at.version()).toBe(1);
  });

  test("numbers of another width are taken where each fits", async () => {
    const at = await place();
    const columns = {
      small: column(new arrow.Float64(), [1, -128, null]),
      ratio: column(new arrow.Int64(), [1n, 2n, 3n]),
    };
    expect(await insert(at, tableOf(columns))).toMatchObject({ insertedRows: 3 });
    const rows = await (await at.db.openTable("t")).query().select(["must", "small", "ratio"]).toArray();
    expect(rows.slice(1).map((row) => [row.must, row.small, row.ratio])).toEqual([
      ["a", 1, 1],
      ["b", -128, 2],
      ["c", null, 3],
    ]);
  });
});

describe("keys of an upsert", () => {
  const upsert = (at: Place, data: unknown, mergeOn: string | string[] = "id") =>
    insert(at, data, { mergeOn });
  test.each([
    [
      "repeated",
      [{ ...good }, { ...good, id: 2n }, { ...good }],
      /Row 2, column "id": row 0 has the key 1n too/,
    ],
    ["null", [good, { ...good, id: null }], /Row 1, column "id": null/],
    ["missing", [good, { must: "x" }], /Row 1, column "id": missing/],
  ])("%s", async (_, rows, message) => {
    const at = await place();
    await expect(upsert(at, rows)).rejects.toThrow(message);
    await expect(upsert(at, rows)).rejects.toThrow(ValidationError);
    expect(await at.version()).toBe(1);
  });

  test("NaN, and 0 beside -0", async () => {
    const at = await place();
    await expect(upsert(at, [{ must: "a", ratio: Number.NaN }], "ratio")).rejects.toThrow(
      /Row 0, column "ratio": NaN/,
    );
    const zeros = [
      { must: "a", ratio: 0 },
      { must: "b", ratio: -0 },
    ];
    await expect(upsert(at, zeros, "ratio")).rejects.toThrow(
      /Row 1, column "ratio": row 0 has the key 0 too/,
    );
    await upsert(at, [zeros[0]], "ratio");
    expect(await upsert(at, [zeros[1]], "ratio")).toMatchObject({ insertedRows: 0, updatedRows: 1 });
  });

  test("of several columns are one key together", async () => {
    const at = await place();
    const row = (must: string, count: number) => ({ ...good, must, count });
    expect(await upsert(at, [row("a", 1), row("a", 2), row("b", 1)], ["must", "count"])).toMatchObject({
      insertedRows: 3,
    });
    await expect(upsert(at, [row("a", 1), row("b", 1), row("a", 1)], ["must", "count"])).rejects.toThrow(
      /Row 2, column "must, count": row 0 has the key "a", 1 too/,
    );
  });

  test("a repetition is found over batches, also between rows with different columns", async () => {
    const at = await place();
    const before = await stateOf(at.db, "t");
    function* batches() {
      for (let from = 10; from < 5010; from += 100)
        yield Array.from({ length: 100 }, (_, index) => ({ ...good, id: BigInt(from + index) }));
      yield [{ id: 10n, must: "again" }];
    }
    await expect(upsert(at, batches())).rejects.toThrow(/Row 5000, column "id": row 0 has the key 10n too/);
    expect(await stateOf(at.db, "t")).toEqual(before);
  });

  test("must be columns of the table that can tell rows apart", async () => {
    const at = await place();
    await expect(upsert(at, [good], "nope")).rejects.toThrow(/no column "nope" to merge on/);
    await expect(upsert(at, [good], "vector")).rejects.toThrow(
      /"vector" has the type .* cannot be merged on/,
    );
    expect(await at.version()).toBe(1);
  });
});

describe("a new table", () => {
  const create = (at: Place, data: unknown, given: Partial<InsertRecordsOptions> = {}) =>
    insert(at, data, { table: "new", ...given });
  test.each([
    [
      "vectors of different lengths",
      [{ vector: [1, 2] }, { vector: [1, 2, 3] }],
      /Row 1, column "vector": 3 values where the column holds 2/,
    ],
    [
      "vectors of different lengths by another name",
      [{ textEmbedding: [1, 2] }, { textEmbedding: [1] }],
      /Row 1, column "textEmbedding": 1 values/,
    ],
    ["NaN in a vector", [{ vector: [1, 2] }, { vector: [Number.NaN, 1] }], /Row 1, column "vector": NaN/],
    ["values of different types", [{ a: 1 }, { a: "x" }], /Row 1, column "a": "x" is not a number/],
    [
      "an object where others have none",
      [{ a: 1 }, { a: { b: 1 } }],
      /Row 1, column "a": an object is not a number/,
    ],
    [
      "a column of nulls only",
      [
        { a: 1, b: null },
        { a: 2, b: null },
      ],
      /"b", named first by row 0/,
    ],
    ["repeated keys", [{ id: "a" }, { id: "a" }], /Row 1, column "id"/],
  ])("%s", async (_, rows, message) => {
    const at = await place();
    const given = message.source.includes('"id"') ? { mergeOn: "id" } : {};
    await expect(create(at, rows, given)).rejects.toThrow(ValidationError);
    await expect(create(at, rows, given)).rejects.toThrow(message);
    expect(await tableNames(at.db)).toEqual(["t"]);
  });

  test("has every column that any row of an array names, dates as timestamps", async () => {
    const at = await place();
    const rows = Array.from({ length: 3000 }, (_, id) => ({
      id,
      ...(id === 2500 && { late: new Date(5), deep: { when: [new Date(7)] } }),
    }));
    await create(at, rows);
    const table = await at.db.openTable("new");
    expect((await table.schema()).fields.map(String)).toEqual([
      "id: Float64",
      "late: Timestamp<MILLISECOND, UTC>",
      "deep: Struct<{when:List<Timestamp<MILLISECOND, UTC>>}>",
    ]);
    expect(
      (await table.query().where("id = 2500").toArray()).map((row) => [row.late, [...row.deep.when]]),
    ).toEqual([[5, [7]]]);
  });
});

describe("options", () => {
  test.each([
    ["a table outside the database", { table: "../t" }, ValidationError],
    ["a table with a slash", { table: "a/b" }, ValidationError],
    ["an empty table name", { table: "" }, ValidationError],
    ["a namespace outside the database", { namespacePath: [".."] }, ValidationError],
    ["a namespace that does not exist", { namespacePath: ["nope"] }, ValidationError],
    ["an unknown strategy", { strategy: "copy" }, ValidationError],
    ["an unknown mode", { mode: "replace" }, ValidationError],
    ["an unknown whenMatched", { mergeOn: "id", whenMatched: "skip" }, ValidationError],
    ["an unknown onConflict", { onConflict: "ignore" }, ValidationError],
    ["mergeOn with overwrite", { mergeOn: "id", mode: "overwrite" }, ValidationError],
    ["mergeOn without columns", { mergeOn: [] }, ValidationError],
    ["mergeOn with a column twice", { mergeOn: ["id", "id"] }, ValidationError],
    ["mergeOn that is no name", { mergeOn: 7 }, ValidationError],
    ["a manager and another LanceDB", { lancedb }, ValidationError],
    ["a manager and other connections", { connection: {} }, ValidationError],
    ["a manager and another uri", { uri: "/elsewhere" }, ValidationError],
    ["a manager and another backupDir", { backupDir: "/elsewhere" }, ValidationError],
    ["an embedding without a function", { embedding: { source: "must" } }, ValidationError],
    ["a table name that is no string", { table: 7 }, TypeError],
  ])("%s", async (_, given, type) => {
    const at = await place();
    await expect(insert(at, [good], given as never)).rejects.toThrow(type);
    expect(await at.version()).toBe(1);
    expect(await tableNames(at.db)).toEqual(["t"]);
  });

  test("a manager and its own uri, written another way, agree", async () => {
    const at = await place();
    expect(await insert(at, [good], { uri: `${at.uri}/../db`, backupDir: at.backupDir })).toMatchObject({
      insertedRows: 1,
    });
  });
});
