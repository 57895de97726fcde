import { embedding } from "@lancedb/lancedb";
import { TextEmbeddingFunction } from "@lancedb/lancedb/embedding";
import { describe, expect, test } from "vitest";
import { LanceError, ValidationError } from "../../../src/errors.ts";
import {
  type InsertRecordsOptions,
  insertRecordsWithBackup,
} from "../../../src/guard/write/insert-records.ts";
import { arrow, errorOf, newPlace, type Place, print, rowsOf, stateOf, tableNames } from "./harness.ts";

/** Counts letters: the vector of "abca" is [2, 1, 1]. */
class Letters extends TextEmbeddingFunction {
  readonly calls: string[][] = [];
  override ndims(): number | undefined {
    return 3;
  }
  override async generateEmbeddings(texts: string[]): Promise<number[][]> {
    this.calls.push(texts);
    return texts.map((text) => ["a", "b", "c"].map((letter) => text.split(letter).length - 1));
  }
}
class Registered extends Letters {}
embedding.register("letters-of-this-test")(Registered);

class Unknown extends Letters {
  override ndims() {
    return undefined;
  }
}

const texts = [
  { id: 1, text: "abca" },
  { id: 2, text: "cc" },
  { id: 3, text: "b" },
];

const insert = (at: Place, data: unknown, given: Partial<InsertRecordsOptions> = {}) =>
  insertRecordsWithBackup(data as Iterable<object>, {
    table: "t",
    strategy: "lance-version",
    manager: at.manager,
    ...given,
  });
const using = (made: Letters, vector?: string) => ({
  embedding: { function: made, source: "text", ...(vector && { vector }) },
});
const vectorsOf = async (at: Place, column = "vector") =>
  (await rowsOf(await at.db.openTable("t")))
    .sort((a, b) => Number(a["id"]) - Number(b["id"]))
    .map((row) => row[column]);

describe("vectors are made from the source column", () => {
  test("of a new table, and a search for text works on it afterwards", async () => {
    const at = await newPlace();
    await insert(at, texts, using(new Registered()));
    expect(await vectorsOf(at)).toEqual([
      [2, 1, 1],
      [0, 0, 2],
      [0, 1, 0],
    ]);
    const found = await (await at.db.openTable("t")).search("cc").limit(1).toArray();
    expect(found[0].text).toBe("cc");
  });

  test("where the class is not registered, and the length only shows", async () => {
    const at = await newPlace();
    await insert(at, texts, using(new Unknown()));
    expect(await vectorsOf(at)).toEqual([
      [2, 1, 1],
      [0, 0, 2],
      [0, 1, 0],
    ]);
    await insert(at, [{ id: 4, text: "bb" }], using(new Unknown()));
    expect((await vectorsOf(at))[3]).toEqual([0, 2, 0]);
  });

  test("of rows that lack one; the others keep theirs", async () => {
    const at = await newPlace();
    const made = new Registered();
    await insert(
      at,
      [
        { id: 1, text: "a", vector: [7, 7, 7] },
        { id: 2, text: "b" },
        { id: 3, text: "c", vector: null },
        { id: 4, text: null },
      ],
      using(made),
    );
    expect(await vectorsOf(at)).toEqual([[7, 7, 7], [0, 1, 0], [0, 0, 1], null]);
    expect(made.calls).toEqual([["b", "c"]]);
  });

  test("of Arrow tables, into a column of any name", async () => {
    const at = await newPlace();
    const table = new arrow.Table({
      id: arrow.vectorFromArray([1, 2], new arrow.Int32()),
      text: arrow.vectorFromArray(["ab", "c"], new arrow.Utf8()),
    });
    await insert(at, table, using(new Letters(), "letters"));
    expect(await vectorsOf(at, "letters")).toEqual([
      [1, 1, 0],
      [0, 0, 1],
    ]);
  });

  test("of updated rows, anew", async () => {
    const at = await newPlace();
    await insert(at, texts, using(new Letters()));
    await insert(
      at,
      [
        { id: 2, text: "ab" },
        { id: 4, text: "c" },
      ],
      { ...using(new Letters()), mergeOn: "id" },
    );
    expect(await vectorsOf(at)).toEqual([
      [2, 1, 1],
      [1, 1, 0],
      [0, 1, 0],
      [0, 0, 1],
    ]);
  });

  test("by the function that the table itself declares, where none is given", async () => {
    const at = await newPlace();
    await insert(at, texts, using(new Registered()));
    await insert(at, [{ id: 4, text: "bb" }]);
    await insert(at, [{ id: 1, text: "ccc" }], { mergeOn: "id" });
    expect(await vectorsOf(at)).toEqual([
      [0, 0, 3],
      [0, 0, 2],
      [0, 1, 0],
      [0, 2, 0],
    ]);
  });

  test("in a stream of many batches, at most a thousand values a call", async () => {
    const at = await newPlace();
    const made = new Letters();
    const batches = Array.from({ length: 10 }, (_, batch) =>
      Array.from({ length: 500 }, (_, row) => ({ id: batch * 500 + row, text: "abc".repeat(row % 3) })),
    );
    await insert(at, batches.values(), using(made));
    expect(made.calls.flat().length).toBe(5000);
    expect(Math.max(...made.calls.map((call) => call.length))).toBeLessThanOrEqual(1000);
    expect((await vectorsOf(at))[4999]).toEqual([1, 1, 1].map((n) => n * (499 % 3)));
  });

  test("of a long array, at most a thousand values a call", async () => {
    const at = await newPlace();
    const made = new Letters();
    const rows = Array.from({ length: 6000 }, (_, id) => ({ id, text: "a".repeat(id % 5) }));
    await insert(at, rows, using(made));
    expect(Math.max(...made.calls.map((call) => call.length))).toBe(1000);
    expect((await vectorsOf(at)).map((vector) => (vector as number[])[0])).toEqual(
      rows.map(({ id }) => id % 5),
    );
  });

  test("of rows that leave columns out of a table that declares a function", async () => {
    const at = await newPlace();
    const full = { id: 1, text: "a", flag: true, other: Float32Array.of(1, 2), inner: { a: 1, b: [true] } };
    await insert(at, [full], using(new Registered()));
    await insert(at, [{ id: 2, text: "b" }]);
    await insert(at, [{ id: 3, text: "c" }], { mergeOn: "id", whenMatched: "keep" });
    expect((await rowsOf(await at.db.openTable("t"))).slice(1).map(print)).toEqual(
      [
        { id: 2, text: "b", flag: null, other: null, inner: null, vector: [0, 1, 0] },
        { id: 3, text: "c", flag: null, other: null, inner: null, vector: [0, 0, 1] },
      ].map(print),
    );
  });

  test("once for each row of an array that makes one chunk", async () => {
    const at = await newPlace();
    const made = new Registered();
    await insert(at, texts, using(made));
    expect(made.calls.flat()).toEqual(["abca", "cc", "b"]);
  });
});

describe("what goes wrong leaves the table as it was", () => {
  async function withTable() {
    const at = await newPlace();
    await insert(at, texts, using(new Letters()));
    return { at, before: await stateOf(at.db, "t") };
  }

  test("an error of the function comes out unchanged", async () => {
    const { at, before } = await withTable();
    const cause = new Error("quota");
    const made = new Letters();
    made.generateEmbeddings = async () => {
      throw cause;
    };
    expect(await errorOf(() => insert(at, texts, using(made)))).toBe(cause);
    expect(await errorOf(() => insert(at, texts.values(), using(made)))).toBe(cause);
    expect(await errorOf(() => insert(at, texts, { ...using(made), table: "new" }))).toBe(cause);
    expect(await stateOf(at.db, "t")).toEqual(before);
    expect(await tableNames(at.db)).toEqual(["t"]);
  });

  test.each([
    [
      "of the wrong length",
      async () => [
        [1, 2, 3],
        [1, 2],
        [1, 2, 3],
      ],
      /Row 1, column "vector": 2 values/,
    ],
    [
      "not finite",
      async () => [
        [1, 2, 3],
        [1, 2, 3],
        [1, Number.NaN, 3],
      ],
      /Row 2, column "vector": NaN/,
    ],
    ["too few", async () => [[1, 2, 3]], /1 vectors of 3 values/],
  ])("vectors %s", async (_, generate, message) => {
    const { at, before } = await withTable();
    const made = new Letters();
    made.generateEmbeddings = generate;
    await expect(insert(at, texts, using(made))).rejects.toThrow(message);
    await expect(insert(at, texts, using(made))).rejects.toThrow(ValidationError);
    await expect(insert(at, texts.values(), using(made))).rejects.toThrow(message);
    expect(await stateOf(at.db, "t")).toEqual(before);
  });

  test("a function whose dimension is not the table's, a source or a vector column that is not there", async () => {
    const { at, before } = await withTable();
    const made = new Letters();
    made.ndims = () => 4;
    await expect(insert(at, texts, using(made))).rejects.toThrow(
      /vectors of 4 numbers, column "vector" holds 3/,
    );
    await expect(insert(at, texts, using(new Letters(), "other"))).rejects.toThrow(
      /no vector column "other"/,
    );
    await expect(
      insert(at, texts, { embedding: { function: new Letters(), source: "body" } }),
    ).rejects.toThrow(/no column "body"/);
    expect(made.calls).toEqual([]);
    expect(await stateOf(at.db, "t")).toEqual(before);
  });

  test("an abort does not wait for a function that is stuck", async () => {
    const { at, before } = await withTable();
    const reason = new Error("enough");
    const abort = new AbortController();
    const made = new Letters();
    made.generateEmbeddings = () => {
      setTimeout(() => abort.abort(reason), 10);
      return new Promise(() => undefined);
    };
    expect(await errorOf(() => insert(at, texts, { ...using(made), signal: abort.signal }))).toBe(reason);
    expect(await errorOf(() => insert(at, texts.values(), { ...using(made), signal: abort.signal }))).toBe(
      reason,
    );
    expect(await stateOf(at.db, "t")).toEqual(before);
  });

  test("an update that leaves columns out of a table with a declared function, which LanceDB would set to null", async () => {
    const at = await newPlace();
    await insert(
      at,
      texts.map((row) => ({ ...row, note: "keep me" })),
      using(new Registered()),
    );
    const before = await stateOf(at.db, "t");
    await expect(insert(at, [{ id: 1, text: "a" }], { mergeOn: "id" })).rejects.toThrow(
      /column "note": missing/,
    );
    expect(await stateOf(at.db, "t")).toEqual(before);
    await insert(
      at,
      [
        { id: 1, text: "a", note: "kept" },
        { id: 9, text: "b", note: null },
      ],
      { mergeOn: "id" },
    );
    expect((await rowsOf(await at.db.openTable("t"))).map(print)).toContain(
      print({ id: 1, text: "a", note: "kept", vector: [1, 0, 0] }),
    );
  });

  test("a table whose declared function is not registered here", async () => {
    const at = await newPlace();
    const metadata = new Map([
      [
        "embedding_functions",
        JSON.stringify([{ name: "not-here", sourceColumn: "text", vectorColumn: "vector", model: {} }]),
      ],
    ]);
    const item = new arrow.Field("item", new arrow.Float32(), true);
    const fields = [
      new arrow.Field("text", new arrow.Utf8(), true),
      new arrow.Field("vector", new arrow.FixedSizeList(3, item), true),
    ];
    await at.db.createEmptyTable("t", new arrow.Schema(fields, metadata));
    const error = await errorOf(() => insert(at, [{ text: "a", vector: [1, 2, 3] }]));
    expect(error).toBeInstanceOf(LanceError);
    expect((error as Error).message).toContain("not-here");
    expect(await (await at.db.openTable("t")).version()).toBe(1);
  });
});
