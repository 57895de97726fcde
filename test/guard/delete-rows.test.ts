import * as otherArrow from "apache-arrow";
import { describe, expect, test } from "vitest";
import { LanceError, ValidationError } from "../../src/errors.ts";
import { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import type { GuardedWork, GuardedWorkOptions } from "../../src/guard/manager-options.ts";
import { type DeleteRowsOptions, deleteRowsWithBackup } from "../../src/guard/write/delete-rows.ts";
import { arrow, errorOf, leftovers, newPlace, type Place, rowsOf, stateOf } from "./write/harness.ts";

const { Field } = arrow;

type Given = Partial<DeleteRowsOptions>;
const remove = (at: Place, rows: unknown, given: Given = {}) =>
  deleteRowsWithBackup(rows as Iterable<unknown>, {
    table: "t",
    key: "id",
    strategy: "lance-version",
    manager: at.manager,
    ...given,
  });

/** A table with rows 0 to count-1, and what of them is left. */
async function place(count = 10) {
  const at = await newPlace();
  const table = await at.db.createTable(
    "t",
    Array.from({ length: count }, (_, id) => ({ id: BigInt(id), name: `n${id}` })),
  );
  const left = async () =>
    (await rowsOf(await at.db.openTable("t"))).map((row) => Number(row["id"])).sort((a, b) => a - b);
  const version = async () => (await at.db.openTable("t")).version();
  return { ...at, table, left, version };
}

describe.each(Object.values(BackupStrategy))("deleteRowsWithBackup, %s", (strategy) => {
  test("deletes the rows with the keys in one commit, and counts them", async () => {
    const at = await place();
    const result = await remove(at, [{ id: 1n, name: "ignored" }, { id: 3n }, { id: 99n }, { id: 3n }], {
      strategy,
    });
    expect(result).toMatchObject({ table: "t", version: 2, deletedRows: 2 });
    expect(await at.left()).toEqual([0, 2, 4, 5, 6, 7, 8, 9]);
    expect(await (await result.connection.openTable("t")).countRows()).toBe(8);
    expect(leftovers(at)).toEqual([]);
  });

  test("deletes every row that shares a key", async () => {
    const at = await place();
    await at.table.add([{ id: 1n, name: "again" }]);
    expect(await remove(at, [1n], { strategy })).toMatchObject({ deletedRows: 2 });
  });

  test("no keys delete nothing, and the version stays", async () => {
    const at = await place();
    for (const rows of [
      [],
      new Set(),
      [[]],
      new arrow.Table(new arrow.Schema([new Field("id", new arrow.Int64())])),
    ]) {
      expect(await remove(at, rows, { strategy })).toMatchObject({ version: 1, deletedRows: 0 });
    }
    expect(await at.version()).toBe(1);
  });

  test("works in a namespace", async () => {
    const at = await newPlace();
    await at.db.createNamespace(["team"]);
    await at.db.createTable("t", [{ id: 1n }, { id: 2n }], ["team"]);
    expect(await remove(at, [2n], { strategy, namespacePath: ["team"] })).toMatchObject({ deletedRows: 1 });
    expect(await (await at.db.openTable("t", ["team"])).countRows()).toBe(1);
  });

  test("an abort between deletes takes everything back and rejects with the signal's reason", async () => {
    const at = await place(250);
    const before = await stateOf(at.db, "t");
    const abort = new AbortController();
    const reason = new Error("enough");
    // The first delete is logged when it is done, and stops the second.
    at.manager.logger.debug = (message) => message === "rows deleted" && abort.abort(reason);
    const keys = Array.from({ length: 200_000 }, (_, id) => BigInt(id));
    expect(await errorOf(() => remove(at, keys, { strategy, signal: abort.signal }))).toBe(reason);
    expect(await stateOf(at.db, "t")).toEqual(before);
    expect(await at.version()).toBeGreaterThan(2);
  });

  test("what LanceDB refuses comes as LanceError, and the table is as it was", async () => {
    const at = await place();
    const before = await stateOf(at.db, "t");
    const { withBackup } = at.manager;
    const cause = new Error("Retryable commit conflict");
    at.manager.withBackup = (...[chosen, work, options]: unknown[]) =>
      withBackup.call(
        at.manager,
        chosen as BackupStrategy,
        async (db) => (work as GuardedWork<unknown>)(failingSecondDelete(db, cause)),
        options as GuardedWorkOptions,
      ) as never;
    const keys = Array.from({ length: 150_000 }, (_, id) => BigInt(id));
    const error = await errorOf(() => remove(at, keys, { strategy }));
    expect(error).toBeInstanceOf(LanceError);
    expect((error as LanceError).cause).toBe(cause);
    expect(await stateOf(at.db, "t")).toEqual(before);
  });
});

describe("what rows may be", () => {
  const ids = (copy: typeof arrow, type: ConstructorParameters<typeof Field>[1], values: unknown[]) =>
    new copy.Table({
      other: copy.vectorFromArray(values.map(String), new copy.Utf8()),
      id: copy.vectorFromArray(values, type),
    });
  test.each<[string, () => unknown]>([
    ["bare keys", () => [1n, 2n]],
    ["numbers for a column of bigints", () => [1, 2]],
    ["objects", () => [{ id: 1 }, { id: 2n }]],
    ["objects and bare keys", () => [{ id: 1 }, 2n]],
    ["an Arrow table", () => ids(arrow, new arrow.Int64(), [1n, 2n])],
    [
      "an Arrow table of another copy, with another width",
      () => ids(otherArrow, new otherArrow.Int8(), [1, 2]),
    ],
    ["an Arrow table of floats", () => ids(arrow, new arrow.Float64(), [1, 2])],
    ["a record batch", () => ids(arrow, new arrow.Int64(), [1n, 2n]).batches[0]],
    ["a Set", () => new Set([1n, 2n])],
    ["a generator", () => [1n, 2n].values()],
    ["an async generator of arrays", () => later([[1n], [2n]])],
  ])("%s", async (_, rows) => {
    const at = await place(4);
    expect(await remove(at, rows())).toMatchObject({ deletedRows: 2 });
    expect(await at.left()).toEqual([0, 3]);
  });
});

describe("keys of every scalar type", () => {
  const day = 86_400_000;
  const cases: [string, ConstructorParameters<typeof Field>[1], unknown[], unknown[]][] = [
    [
      "strings, hostile ones too",
      new arrow.Utf8(),
      ["a'b", "x'; --", "\\", "\n", "\0", "😀", "", "plain"],
      ["a'b", "x'; --", "\\", "\n", "\0", "😀", "", "gone"],
    ],
    ["large strings", new arrow.LargeUtf8(), ["a", "b"], ["a"]],
    ["dictionary strings", new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()), ["a", "b'"], ["b'"]],
    [
      "64-bit integers",
      new arrow.Int64(),
      [2n ** 53n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n],
      [2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n],
    ],
    ["unsigned 64-bit integers", new arrow.Uint64(), [2n ** 64n - 1n, 2n ** 64n - 2n], [2n ** 64n - 1n]],
    ["floats", new arrow.Float64(), [0.1, 0.2, 5e-324, -Infinity, 1e300], [0.1, 5e-324, -Infinity]],
    [
      "single floats, by the number that is stored",
      new arrow.Float32(),
      [0.1, 0.2, 16777217],
      [0.1, 16777217],
    ],
    ["half floats", new arrow.Float16(), [1, 0.5, -2], [0.5]],
    ["zero and minus zero", new arrow.Float64(), [1, -0, 2], [0]],
    ["booleans", new arrow.Bool(), [true, false], [false]],
    [
      "timestamps as Dates",
      new arrow.Timestamp(arrow.TimeUnit.MILLISECOND, "UTC"),
      [0, 1.7e12, -1],
      [new Date(1.7e12), new Date(-1)],
    ],
    [
      "timestamps in their own unit",
      new arrow.Timestamp(arrow.TimeUnit.NANOSECOND),
      [1_700_000_000_000_000_001n, 1_700_000_000_000_000_002n],
      [1_700_000_000_000_000_001n],
    ],
    [
      "timestamps in microseconds as Dates",
      new arrow.Timestamp(arrow.TimeUnit.MICROSECOND, "Europe/Berlin"),
      [1_700_000_000_000_000n, 5n],
      [new Date(1.7e12)],
    ],
    ["days", new arrow.DateDay(), [0n, 20_000n], [new Date(20_000 * day)]],
    ["dates in milliseconds", new arrow.DateMillisecond(), [0n, BigInt(day)], [new Date(day)]],
    ["times", new arrow.TimeMicrosecond(), [0n, 86_399_999_999n], [86_399_999_999n]],
    [
      "bytes",
      new arrow.Binary(),
      [Uint8Array.of(), Uint8Array.of(39, 0, 255), Uint8Array.of(1)],
      [Uint8Array.of(), Buffer.from([39, 0, 255])],
    ],
    [
      "fixed bytes",
      new arrow.FixedSizeBinary(2),
      [Uint8Array.of(1, 2), Uint8Array.of(3, 4)],
      [Uint8Array.of(3, 4)],
    ],
    ["decimals", new arrow.Decimal(2, 10, 128), ["1.50", "-0.01"], ["-0.01"]],
  ];
  test.each(cases)("%s", async (_, type, stored, keys) => {
    const at = await newPlace();
    const { insertRecordsWithBackup } = await import("../../src/guard/write/insert-records.ts");
    const schema = new arrow.Schema([new Field("id", type, true), new Field("at", new arrow.Int32(), true)]);
    await at.db.createEmptyTable("t", schema);
    const rows = [...stored.map((id, index) => ({ id, at: index })), { id: null, at: -1 }];
    await insertRecordsWithBackup(rows, { table: "t", strategy: "lance-version", manager: at.manager });
    const objects = await at.db.createEmptyTable("objects", schema);
    await insertRecordsWithBackup(rows, { table: "objects", strategy: "lance-version", manager: at.manager });
    const gone = keys.filter((key) => key !== "gone").length;
    expect(await remove(at, keys)).toMatchObject({ deletedRows: gone });
    expect(
      await remove(
        at,
        keys.map((id) => ({ id })),
        { table: "objects" },
      ),
    ).toMatchObject({ deletedRows: gone });
    expect(await remove(at, keys)).toMatchObject({ deletedRows: 0 });
    expect(await (await at.db.openTable("t")).countRows()).toBe(rows.length - gone);
    await objects.checkoutLatest();
    expect((await objects.query().toArray()).length).toBe(rows.length - gone);
  });
});

test("100,000 keys are one commit", async () => {
  const at = await place(120_000);
  const keys = Array.from({ length: 100_000 }, (_, id) => BigInt(id) + 10_000n);
  expect(await remove(at, keys)).toMatchObject({ version: 2, deletedRows: 100_000 });
  expect((await at.left()).length).toBe(20_000);
});

test("more keys, and long ones, are several commits and one count", async () => {
  const at = await place(5);
  const keys = Array.from({ length: 250_000 }, (_, id) => ({ id }));
  expect(await remove(at, keys)).toMatchObject({ version: 4, deletedRows: 5 });
  const names = Array.from({ length: 40 }, (_, id) => ({ name: `${id}`.padEnd(1_000_000, "x") }));
  await at.db.createTable("long", names);
  const deleted = await remove(at, names.slice(1), { table: "long", key: "name" });
  expect(deleted).toMatchObject({ deletedRows: 39 });
  expect(deleted.version).toBeGreaterThan(2);
});

describe("bad input is refused before anything is written", () => {
  test.each<[string, unknown, Given, RegExp]>([
    ["a null key", [1n, null], {}, /Row 1, column "id": null/],
    ["an undefined key", [1n, undefined], {}, /Row 1, column "id": null, or missing/],
    ["an object without the key", [{ id: 1n }, { name: "x" }], {}, /Row 1, column "id": null, or missing/],
    ["a string for an integer", [1n, "2"], {}, /Row 1, column "id": "2" is not a whole number/],
    ["a fraction for an integer", [{ id: 1.5 }], {}, /Row 0, column "id": 1\.5/],
    ["an unsafe integer", [2 ** 53], {}, /Row 0, column "id": .* bigint/],
    ["a number for a string", [{ name: "x" }, 7], { key: "name" }, /Row 1, column "name": 7 is not a string/],
    ["an array of a key", [1n, [[2n]]], {}, /Row 1, column "id"/],
    ["a column that is not there", [1n], { key: "nope" }, /no column "nope"/],
    ["a table that is not there", [1n], { table: "nope" }, /no table "nope"/],
    ["a table outside the database", [1n], { table: "../t" }, /not a table name/],
    ["an empty key column", [1n], { key: "" }, /must name a column/],
    ["an unknown strategy", [1n], { strategy: "x" as never }, /strategy/],
    ["a string for rows", "1", {}, /must be an array/],
    [
      "an Arrow table without the column",
      new arrow.Table({ x: arrow.vectorFromArray([1], new arrow.Int32()) }),
      {},
      /no column "id"/,
    ],
    [
      "an Arrow column of another kind",
      new arrow.Table({ id: arrow.vectorFromArray(["1"], new arrow.Utf8()) }),
      {},
      /Row 0, column "id": the data has the type Utf8/,
    ],
  ])("%s", async (_, rows, given, message) => {
    const at = await place();
    await expect(remove(at, rows, given)).rejects.toThrow(ValidationError);
    await expect(remove(at, rows, given)).rejects.toThrow(message);
    expect(await at.version()).toBe(1);
  });

  test("NaN, and a column that is no scalar", async () => {
    const at = await newPlace();
    await at.db.createTable("t", [{ id: 1, vector: [1, 2] }]);
    await expect(remove(at, [Number.NaN])).rejects.toThrow(/Row 0, column "id": NaN/);
    await expect(remove(at, [[1, 2]], { key: "vector" })).rejects.toThrow(/by which rows cannot be deleted/);
    expect(await (await at.db.openTable("t")).version()).toBe(1);
  });

  test("a bad key far into a stream", async () => {
    const at = await place();
    const keys = (function* () {
      for (let id = 0n; id < 5000n; id++) yield id;
      yield "x";
    })();
    await expect(remove(at, keys)).rejects.toThrow(/Row 5000, column "id"/);
    expect(await at.version()).toBe(1);
  });

  test("an error of the caller's iterable comes out unchanged", async () => {
    const at = await place();
    const cause = new Error("the source broke");
    const keys = (function* () {
      yield 1n;
      throw cause;
    })();
    expect(await errorOf(() => remove(at, keys))).toBe(cause);
    expect(await at.version()).toBe(1);
  });
});

/** A connection whose tables fail at their second delete. */
function failingSecondDelete<T extends object>(db: T, error: Error): T {
  let deletes = 0;
  const wrap = <U extends object>(inner: U): U =>
    new Proxy(inner, {
      get(target, name) {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== "function") return value;
        return (...given: unknown[]) => {
          if (name === "delete" && ++deletes === 2) return Promise.reject(error);
          const result = value.apply(target, given) as unknown;
          return name === "openTable" ? (result as Promise<object>).then(wrap) : result;
        };
      },
    });
  return wrap(db);
}

async function* later<T>(items: Iterable<T>) {
  for (const item of items) {
    await Promise.resolve();
    yield item;
  }
}
