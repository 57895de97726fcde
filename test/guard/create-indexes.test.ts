import { Index } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { LanceError, ValidationError } from "../../src/errors.ts";
import { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import { createIndexesWithBackup, type IndexSpec } from "../../src/guard/write/create-indexes.ts";
import { errorOf, leftovers, newPlace, type Place, stateOf } from "./write/harness.ts";

async function place() {
  const at = await newPlace();
  const rows = Array.from({ length: 300 }, (_, id) => ({
    id: BigInt(id),
    text: `word${id} common`,
    inner: { n: id },
    vector: [id, 1, 2, 3],
  }));
  await at.db.createTable("t", rows);
  return at;
}

const names = async (at: Place) =>
  (await (await at.db.openTable("t")).listIndices()).map(({ name }) => name).sort();

describe.each(Object.values(BackupStrategy))("createIndexesWithBackup, %s", (strategy) => {
  const create = (at: Place, specs: readonly IndexSpec[], given = {}) =>
    createIndexesWithBackup("t", specs, { strategy, manager: at.manager, ...given });

  test("makes scalar, full-text and vector indices, which serve searches at once", async () => {
    const at = await place();
    const result = await create(at, [
      { column: "id", config: Index.btree() },
      { column: "text", config: Index.fts() },
      { column: "vector", config: Index.ivfFlat({ numPartitions: 2 }), name: "near" },
      { column: "inner.n" },
    ]);
    expect(result).toMatchObject({
      table: "t",
      version: 5,
      indexes: ["id_idx", "text_idx", "near", "inner.n_idx"],
    });
    const table = await result.connection.openTable("t");
    for (const name of result.indexes) {
      expect(await table.indexStats(name)).toMatchObject({ numIndexedRows: 300, numUnindexedRows: 0 });
    }
    expect((await table.search("word7", "fts").toArray()).map((row) => row.id)).toEqual([7n]);
    expect((await table.vectorSearch([9, 1, 2, 3]).limit(1).toArray())[0].id).toBe(9n);
    expect(leftovers(at)).toEqual([]);
  });

  test("takes columns of any name, quoted as LanceDB quotes them or plain", async () => {
    const at = await newPlace();
    const rows = [{ "a-b": 1, "a b": 1, s: { "x-y": 1, "d.ot": 1 } }];
    await at.db.createTable("t", rows);
    const columns = ["a-b", "`a b`", "s.x-y", "s.d.ot"];
    await create(
      at,
      columns.map((column) => ({ column, config: Index.btree() })),
    );
    const made = await (await at.db.openTable("t")).listIndices();
    expect(made.flatMap((index) => index.columns).sort()).toEqual(["`a b`", "`a-b`", "s.`d.ot`", "s.`x-y`"]);
    const twice = [{ column: "a b" }, { column: "`a b`" }];
    await expect(create(at, twice)).rejects.toMatchObject({ code: "VALIDATION" });
  });

  test("where one fails, none is left, and a replaced one is back", async () => {
    const at = await place();
    await (await at.db.openTable("t")).createIndex("id", { config: Index.btree() });
    const before = await stateOf(at.db, "t");
    const error = await errorOf(() =>
      create(at, [
        { column: "id", config: Index.bitmap() },
        { column: "text", config: Index.fts() },
        { column: "text", config: Index.ivfPq(), name: "no" },
      ]),
    );
    expect(error).toBeInstanceOf(LanceError);
    expect((error as LanceError).cause).toBeInstanceOf(Error);
    expect((error as LanceError).message).toContain('"text"');
    expect(await stateOf(at.db, "t")).toEqual(before);
  });

  test("replaces an index, unless told not to", async () => {
    const at = await place();
    const index = () => ({ column: "id", config: Index.btree() });
    await create(at, [index()]);
    expect(await create(at, [index()])).toMatchObject({ version: 3, indexes: ["id_idx"] });
    await expect(create(at, [{ ...index(), replace: false }])).rejects.toThrow(LanceError);
    expect(await names(at)).toEqual(["id_idx"]);
  });

  test("answers with the name that LanceDB gives a second kind of index", async () => {
    const at = await place();
    const specs = [{ column: "id", config: Index.btree() }];
    await create(at, specs);
    const { indexes } = await create(at, [{ column: "id", config: Index.bitmap() }]);
    expect(await names(at)).toEqual(["id_idx", ...indexes].sort());
    expect(indexes).not.toEqual(["id_idx"]);
  });

  test("an abort between two indices leaves none", async () => {
    const at = await place();
    const reason = new Error("enough");
    const abort = new AbortController();
    at.manager.logger.debug = (message) => message === "index made" && abort.abort(reason);
    const specs = [
      { column: "id", config: Index.btree() },
      { column: "text", config: Index.fts() },
    ];
    expect(await errorOf(() => create(at, specs, { signal: abort.signal }))).toBe(reason);
    expect(await names(at)).toEqual([]);
  });

  test("works in a namespace", async () => {
    const at = await newPlace();
    await at.db.createNamespace(["team"]);
    await at.db.createTable("t", [{ id: 1 }], ["team"]);
    expect(await create(at, [{ column: "id" }], { namespacePath: ["team"] })).toMatchObject({
      indexes: ["id_idx"],
    });
    expect((await (await at.db.openTable("t", ["team"])).listIndices()).length).toBe(1);
  });

  test("no specs do nothing", async () => {
    const at = await place();
    expect(await create(at, [])).toMatchObject({ version: 1, indexes: [] });
  });
});

const shared = Index.btree();

describe("bad input is refused before anything is written", () => {
  test.each<[string, unknown, object, RegExp]>([
    [
      "a column that is not there",
      [{ column: "id" }, { column: "nope" }],
      {},
      /Index 1: the table has no column "nope"/,
    ],
    ["a field that is not there", [{ column: "inner.m" }], {}, /no column "inner.m"/],
    ["no column", [{}], {}, /names no column/],
    ["a spec that is none", [null], {}, /names no column/],
    ["specs that are no array", { column: "id" }, {}, /must be an array/],
    ["a config that LanceDB did not make", [{ column: "id", config: {} }], {}, /LanceDB's Index/],
    [
      "one config for two",
      [
        { column: "id", config: shared },
        { column: "inner.n", config: shared },
      ],
      {},
      /takes a config once/,
    ],
    ["an empty name", [{ column: "id", name: "" }], {}, /not empty/],
    ["one name twice", [{ column: "id" }, { column: "text", name: "id_idx" }], {}, /Two of the indexes/],
    ["an unknown strategy", [{ column: "id" }], { strategy: "x" }, /strategy/],
    ["a table that is not there", [{ column: "id" }], { namespacePath: ["x"] }, /no table "x\$t"/],
  ])("%s", async (_, specs, given, message) => {
    const at = await place();
    const create = () =>
      createIndexesWithBackup(
        "t",
        specs as IndexSpec[],
        { strategy: "lance-version", manager: at.manager, ...given } as never,
      );
    await expect(create()).rejects.toThrow(ValidationError);
    await expect(create()).rejects.toThrow(message);
    expect(await (await at.db.openTable("t")).version()).toBe(1);
  });
});
