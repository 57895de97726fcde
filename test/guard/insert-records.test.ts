import * as otherArrow from "apache-arrow";
import { describe, expect, test } from "vitest";
import { LanceError, ValidationError } from "../../src/errors.ts";
import { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import { type InsertRecordsOptions, insertRecordsWithBackup } from "../../src/guard/write/insert-records.ts";
import {
  arrow,
  errorOf,
  leftovers,
  newPlace,
  type Place,
  print,
  rowsOf,
  stateOf,
  tableNames,
} from "./write/harness.ts";

const people = [
  { id: 1n, name: "Ada", vector: [1, 0, 0] },
  { id: 2n, name: "Bob", vector: [0, 1, 0] },
  { id: 3n, name: null, vector: [0, 0, 1] },
];

type Given = Partial<InsertRecordsOptions>;

describe.each(Object.values(BackupStrategy))("insertRecordsWithBackup, %s", (strategy) => {
  const insert = (place: Place, data: unknown, given: Given = {}) =>
    insertRecordsWithBackup(data as Iterable<object>, {
      table: "people",
      strategy,
      manager: place.manager,
      ...given,
    });
  const rows = async ({ db }: Place) => (await rowsOf(await db.openTable("people"))).map(print).sort();

  test("makes the table where there is none", async () => {
    const place = await newPlace();
    const result = await insert(place, people);
    expect(result).toMatchObject({ table: "people", version: 1, insertedRows: 3, updatedRows: 0 });
    expect(await rows(place)).toEqual(people.map(print));
    const types = (await (await place.db.openTable("people")).schema()).fields.map((field) => `${field}`);
    expect(types).toEqual(["id: Int64", "name: Utf8", "vector: FixedSizeList[3]<Float32>"]);
  });

  test("appends to a table, with null for what a row leaves out", async () => {
    const place = await newPlace();
    await insert(place, people);
    const result = await insert(place, [{ id: 4n }, { id: 5n, name: "Eve" }]);
    expect(result).toMatchObject({ version: 2, insertedRows: 2, updatedRows: 0 });
    expect(await rows(place)).toEqual(
      [...people, { id: 4n, name: null, vector: null }, { id: 5n, name: "Eve", vector: null }].map(print),
    );
  });

  test("updates the rows with the same key and inserts the others", async () => {
    const place = await newPlace();
    await insert(place, people);
    const result = await insert(
      place,
      [
        { id: 2n, name: "Bert", vector: [9, 9, 9] },
        { id: 4n, name: "Dan", vector: [1, 1, 1] },
      ],
      { mergeOn: "id" },
    );
    expect(result).toMatchObject({ version: 2, insertedRows: 1, updatedRows: 1 });
    expect(await rows(place)).toEqual([
      print(people[0]),
      print({ id: 2n, name: "Bert", vector: [9, 9, 9] }),
      print(people[2]),
      print({ id: 4n, name: "Dan", vector: [1, 1, 1] }),
    ]);
  });

  test("an update leaves the columns alone that its row does not name, whatever other rows name", async () => {
    const place = await newPlace();
    await insert(place, people);
    const result = await insert(
      place,
      [
        { id: 1n, name: "Ada L." },
        { id: 2n, vector: [5, 5, 5] },
        { id: 3n, name: undefined, vector: null },
        { id: 4n, name: "Dan" },
      ],
      { mergeOn: ["id"] },
    );
    expect(result).toMatchObject({ insertedRows: 1, updatedRows: 3 });
    expect(await rows(place)).toEqual([
      print({ id: 1n, name: "Ada L.", vector: [1, 0, 0] }),
      print({ id: 2n, name: "Bob", vector: [5, 5, 5] }),
      print({ id: 3n, name: null, vector: null }),
      print({ id: 4n, name: "Dan", vector: null }),
    ]);
  });

  test("keeps the rows that it finds, and does not count them", async () => {
    const place = await newPlace();
    await insert(place, people);
    const data = [
      { id: 1n, name: "other" },
      { id: 7n, name: "Gus" },
    ];
    const result = await insert(place, data, { mergeOn: "id", whenMatched: "keep" });
    expect(result).toMatchObject({ version: 2, insertedRows: 1, updatedRows: 0 });
    expect(await rows(place)).toEqual([...people, { id: 7n, name: "Gus", vector: null }].map(print));
  });

  test("tells rows apart by several key columns", async () => {
    const place = await newPlace();
    const options = { mergeOn: ["tenant", "id"] };
    await insert(
      place,
      [
        { tenant: "a", id: 1n, n: 1 },
        { tenant: "ab", id: 1n, n: 2 },
        { tenant: "a", id: 2n, n: 3 },
      ],
      options,
    );
    const result = await insert(
      place,
      [
        { tenant: "a", id: 2n, n: 30 },
        { tenant: "b", id: 2n, n: 4 },
      ],
      options,
    );
    expect(result).toMatchObject({ insertedRows: 1, updatedRows: 1 });
    expect((await rows(place)).length).toBe(4);
    expect(await rows(place)).toContain(print({ tenant: "a", id: 2n, n: 30 }));
  });

  test("an overwrite replaces the rows and leaves the columns", async () => {
    const place = await newPlace();
    await insert(place, people);
    const result = await insert(place, [{ id: 9n, name: "Zoe" }], { mode: "overwrite" });
    expect(result).toMatchObject({ version: 2, insertedRows: 1, updatedRows: 0 });
    expect(await rows(place)).toEqual([print({ id: 9n, name: "Zoe", vector: null })]);
  });

  test("an overwrite by an Arrow table with other columns takes those", async () => {
    const place = await newPlace();
    await insert(place, people);
    const table = new arrow.Table({ key: arrow.vectorFromArray([1, 2], new arrow.Int32()) });
    const result = await insert(place, table, { mode: "overwrite" });
    expect(result).toMatchObject({ version: 2, insertedRows: 2 });
    expect(await rows(place)).toEqual(['{"key":1}', '{"key":2}']);
  });

  test("an overwrite of many chunks keeps them all", async () => {
    const place = await newPlace();
    await insert(place, people);
    const result = await insert(place, batchesOf(3000), { mode: "overwrite" });
    expect(result).toMatchObject({ version: 3, insertedRows: 3000 });
    expect(await (await place.db.openTable("people")).countRows()).toBe(3000);
  });

  test("a row that names no column is a row of nulls", async () => {
    const place = await newPlace();
    await insert(place, people);
    expect(await insert(place, [{}, { id: undefined }])).toMatchObject({ insertedRows: 2 });
    expect(await rows(place)).toEqual(
      [...people, {}, {}].map((row) => print({ id: null, name: null, vector: null, ...row })).sort(),
    );
  });

  test("works in a namespace", async () => {
    const place = await newPlace();
    await place.db.createNamespace(["team"]);
    const given = { namespacePath: ["team"], mergeOn: "id" };
    expect(await insert(place, people, given)).toMatchObject({ insertedRows: 3 });
    expect(await insert(place, people, given)).toMatchObject({ insertedRows: 0, updatedRows: 3 });
    const table = await place.db.openTable("people", ["team"]);
    expect((await rowsOf(table)).length).toBe(3);
    const before = await stateOf(place.db, "people", ["team"]);
    const cause = new Error("half-way");
    const error = await errorOf(() => insert(place, failingAfter(3000, cause), { namespacePath: ["team"] }));
    expect(error).toBe(cause);
    expect(await stateOf(place.db, "people", ["team"])).toEqual(before);
  });

  test("an error of the caller's iterable comes out unchanged, and the table is as it was", async () => {
    for (const given of [
      {},
      { mergeOn: "id" },
      { mergeOn: "id", whenMatched: "keep" },
      { mode: "overwrite" },
    ] as Given[]) {
      const place = await newPlace();
      await insert(place, people);
      const before = await stateOf(place.db, "people");
      const cause = new Error("the source broke");
      expect(await errorOf(() => insert(place, failingAfter(3000, cause), given))).toBe(cause);
      expect(await stateOf(place.db, "people")).toEqual(before);
      expect(leftovers(place)).toEqual([]);
    }
  });

  test("a table that a failed insert made is gone", async () => {
    const place = await newPlace();
    const cause = new Error("the source broke");
    expect(await errorOf(() => insert(place, failingAfter(3000, cause)))).toBe(cause);
    expect(await tableNames(place.db)).toEqual([]);
  });

  test("a bad row late in a stream takes back what was written before it", async () => {
    const place = await newPlace();
    await insert(place, people);
    const before = await stateOf(place.db, "people");
    async function* data() {
      for (let id = 100n; id < 160n; id++) yield heavyRow(id);
      yield [{ id: 999n, vector: [1, 2] }];
    }
    const error = await errorOf(() => insert(place, data()));
    expect(error).toBeInstanceOf(ValidationError);
    expect((error as Error).message).toContain('Row 60, column "vector"');
    expect(place.logged.filter(({ message }) => message === "rows written").length).toBeGreaterThan(1);
    expect(await stateOf(place.db, "people")).toEqual(before);
  });

  test("an abort between batches takes everything back and rejects with the signal's reason", async () => {
    const place = await newPlace();
    await insert(place, people);
    const before = await stateOf(place.db, "people");
    const abort = new AbortController();
    const reason = new Error("enough");
    let given = 0;
    let closed = false;
    async function* data() {
      try {
        for (let id = 100n; ; id++) {
          if (++given === 40) abort.abort(reason);
          yield heavyRow(id);
        }
      } finally {
        closed = true;
      }
    }
    expect(await errorOf(() => insert(place, data(), { signal: abort.signal }))).toBe(reason);
    expect(given).toBeLessThan(45);
    expect(closed).toBe(true);
    expect(await stateOf(place.db, "people")).toEqual(before);
  });

  test("an abort does not wait for an iterable that is stuck", async () => {
    const place = await newPlace();
    await insert(place, people);
    const before = await stateOf(place.db, "people");
    const abort = new AbortController();
    const reason = new Error("enough");
    async function* data() {
      for (let id = 100n; id < 140n; id++) yield heavyRow(id);
      setTimeout(() => abort.abort(reason), 20);
      await new Promise(() => undefined);
    }
    expect(await errorOf(() => insert(place, data(), { signal: abort.signal }))).toBe(reason);
    expect(await stateOf(place.db, "people")).toEqual(before);
  });

  test("an abort stops the check of rows in memory, before a backup is taken", async () => {
    const place = await newPlace();
    await insert(place, people);
    place.logged.length = 0;
    const data = Array.from({ length: 200_000 }, (_, id) => ({ id: BigInt(id), vector: [1, 2, 3] }));
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error("enough")), 5);
    await expect(insert(place, data, { signal: abort.signal })).rejects.toThrow("enough");
    expect(place.logged).toEqual([]);
  });

  test("an iterable that an abort finds at work is closed when it goes on", async () => {
    const place = await newPlace();
    const { promise: closed, resolve: close } = Promise.withResolvers<string>();
    async function* data() {
      try {
        await new Promise((wake) => setTimeout(wake, 50));
        yield people;
      } finally {
        close("closed");
      }
    }
    await expect(insert(place, data(), { signal: AbortSignal.timeout(10) })).rejects.toThrow("timeout");
    expect(await closed).toBe("closed");
  });

  test("a signal that has fired already stops before anything is read", async () => {
    const place = await newPlace();
    const reason = new Error("no");
    let read = false;
    const data = (function* () {
      read = true;
      yield people;
    })();
    expect(await errorOf(() => insert(place, data, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(read).toBe(false);
  });

  test("LanceDB's own error comes as LanceError with the original as its cause", async () => {
    const place = await newPlace();
    const error = await errorOf(() => insert(place, [{ "a.b": 1 }]));
    expect(error).toBeInstanceOf(LanceError);
    expect((error as LanceError).cause).toBeInstanceOf(Error);
    expect((error as LanceError).message).toContain("people");
    expect(await tableNames(place.db)).toEqual([]);
  });

  test("no rows are a success that writes nothing", async () => {
    const place = await newPlace();
    const schema = new arrow.Schema([new arrow.Field("id", new arrow.Int64(), true)]);
    const empties = () => [[], new arrow.Table(schema), new Set(), later([]), [[], []]];
    for (const data of empties()) {
      expect(await insert(place, data)).toMatchObject({ version: 0, insertedRows: 0, updatedRows: 0 });
    }
    expect(await tableNames(place.db)).toEqual([]);
    await insert(place, people);
    for (const given of [{}, { mergeOn: "id" }, { mode: "overwrite" }] as Given[]) {
      for (const data of empties()) {
        expect(await insert(place, data, given)).toMatchObject({
          version: 1,
          insertedRows: 0,
          updatedRows: 0,
        });
      }
    }
    expect(await rows(place)).toEqual(people.map(print));
  });

  test("leaves no backup behind", async () => {
    const place = await newPlace();
    await insert(place, people);
    await insert(place, people, { mergeOn: "id" });
    expect(leftovers(place)).toEqual([]);
  });
});

test("a stream into a new table has the columns of its first thousand rows", async () => {
  const place = await newPlace();
  const options = { table: "t", strategy: "lance-version", manager: place.manager } as const;
  const late = (row: number, count: number) =>
    Array.from({ length: count }, (_, id) => [{ id, ...(id === row && { late: "x" }) }]).values();
  await insertRecordsWithBackup(late(900, 1500), options);
  expect(await (await place.db.openTable("t")).countRows("late = 'x'")).toBe(1);
  await expect(insertRecordsWithBackup(late(1400, 1500), { ...options, table: "u" })).rejects.toThrow(
    'Row 1400, column "late": the table has no such column',
  );
  expect(await tableNames(place.db)).toEqual(["t"]);
});

describe("what data may be", () => {
  const insert = (place: Place, data: unknown) =>
    insertRecordsWithBackup(data as Iterable<object>, {
      table: "t",
      strategy: "lance-version",
      manager: place.manager,
      mergeOn: "id",
    });
  const table = (copy: typeof arrow, ids: number[]) =>
    new copy.Table({
      id: copy.vectorFromArray(ids, new copy.Int32()),
      text: copy.vectorFromArray(ids.map(String), new copy.LargeUtf8()),
    });
  const objects = (ids: number[]) => ids.map((id) => ({ id, text: String(id) }));
  const forms: [string, () => unknown][] = [
    ["an array of objects", () => objects([1, 2, 3])],
    ["an Arrow table", () => table(arrow, [1, 2, 3])],
    ["an Arrow table of another copy of apache-arrow", () => table(otherArrow, [1, 2, 3])],
    ["a record batch", () => table(arrow, [1, 2, 3]).batches[0]],
    [
      "an array of record batches",
      () => [table(arrow, [1, 2]).batches[0], table(otherArrow, [3]).batches[0]],
    ],
    ["a table in several batches", () => table(arrow, [1]).concat(table(arrow, [2, 3]))],
    [
      "a reader of record batches",
      () => arrow.RecordBatchReader.from(arrow.tableToIPC(table(arrow, [1, 2, 3]))),
    ],
    ["a generator of objects", () => objects([1, 2, 3]).values()],
    ["a generator of arrays of objects", () => [objects([1, 2]), objects([3])].values()],
    ["a Set of objects", () => new Set(objects([1, 2, 3]))],
    ["an async generator of objects", () => later(objects([1, 2, 3]))],
    ["an async generator of tables", () => later([table(arrow, [1]), table(otherArrow, [2, 3])])],
    ["a stream", () => ReadableStream.from(later([objects([1]), table(arrow, [2]), objects([3])]))],
    [
      "objects, arrays, tables and batches, mixed",
      () => later([{ id: 1, text: "1" }, objects([2]), table(arrow, [3])]),
    ],
  ];

  test.each(forms)("%s", async (_, data) => {
    const place = await newPlace();
    const expected = [print({ id: 1, text: "1" }), print({ id: 2, text: "2" }), print({ id: 3, text: "3" })];
    expect(await insert(place, data())).toMatchObject({ insertedRows: 3, updatedRows: 0 });
    expect((await rowsOf(await place.db.openTable("t"))).map(print)).toEqual(expected);
    expect(await insert(place, data())).toMatchObject({ insertedRows: 0, updatedRows: 3 });
    expect((await rowsOf(await place.db.openTable("t"))).map(print).sort()).toEqual(expected);
  });

  test.each([[undefined], [null], ["rows"], [7], [{ id: 1 }], [new Uint8Array(3)], [() => []]])(
    "not %s",
    async (data) => {
      const place = await newPlace();
      await expect(insert(place, data)).rejects.toThrow(ValidationError);
    },
  );
});

describe("what the caller gets", () => {
  test("a plain connection that sees the rows", async () => {
    const place = await newPlace();
    const { connection } = await insertRecordsWithBackup(people, {
      table: "people",
      strategy: "lance-version",
      uri: place.uri,
      backupDir: place.backupDir,
    });
    expect(await (await connection.openTable("people")).countRows()).toBe(3);
    await (await connection.openTable("people")).delete("id = 1");
    expect(await (await place.db.openTable("people")).countRows()).toBe(2);
  });

  test("a log entry with table, rows, version and milliseconds", async () => {
    const place = await newPlace();
    await insertRecordsWithBackup(people, {
      table: "people",
      strategy: "lance-version",
      manager: place.manager,
    });
    const entry = place.logged.find(({ message }) => message === "rows inserted");
    expect(entry).toMatchObject({ level: "info", meta: { table: "people", insertedRows: 3, version: 1 } });
    expect(entry?.meta?.["ms"]).toEqual(expect.any(Number));
  });
});

/** Rows in arrays of a thousand, seven megabytes each, then an error. */
async function* failingAfter(count: number, error: Error) {
  yield* batchesOf(count);
  throw error;
}

function* batchesOf(count: number) {
  for (let from = 0; from < count; from += 1000) {
    yield Array.from({ length: 1000 }, (_, at) => ({
      id: BigInt(from + at),
      name: "x".repeat(7000),
      vector: [1, 2, 3],
    }));
  }
}

/** One row of about a megabyte: a few dozen make several chunks. */
function heavyRow(id: bigint) {
  return [{ id, name: "x".repeat(1_000_000), vector: [1, 2, 3] }];
}

async function* later<T>(items: Iterable<T>) {
  for (const item of items) {
    await Promise.resolve();
    yield item;
  }
}
