import { join } from "node:path";
import { expect, test } from "vitest";
import { carryOut } from "../../../src/guard/rollback/roll-back-tables.ts";
import { ConflictError } from "../../../src/index.ts";
import { digestOfVersion } from "../../../src/lance/put-back/table-state.ts";
import { lancedb, newDatabase } from "../../support/database.ts";

test("others make a created table anew between the plan and its removal: both tables are as they were", async () => {
  const place = await newDatabase();
  const drops = [];
  for (const table of ["first", "second"]) {
    await place.db.createTable(table, [{ id: 1 }]);
    const directory = `${table}.lance`;
    const ours = new Map([[1, digestOfVersion(join(place.uri, directory), 1)]]);
    drops.push({
      table,
      directory,
      foreign: [],
      ours,
      ownFilesAlone: false,
      keepsAll: false,
      keepsForeign: true,
    });
  }
  await place.db.dropTable("second");
  await place.db.createTable("second", [{ id: 7 }]);
  const plan = {
    puts: [],
    stubs: [],
    drops,
    tags: [],
    namespaces: { wanted: [], gone: [], isCaptured: false },
    conflicts: [],
    assumed: [],
  };
  const taking = { lancedb, database: place.uri, asideName: "x", by: "x" };
  const options = { ...taking, onConflict: "fail", logger: place.logger } as const;
  const error = await carryOut(plan, options).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConflictError);
  expect(error).toMatchObject({ conflicts: [{ table: "second", versions: [1] }] });
  expect(await (await place.db.openTable("first")).countRows("id = 1")).toBe(1);
  expect(await (await place.db.openTable("second")).countRows("id = 7")).toBe(1);

  await carryOut(plan, { ...options, onConflict: "overwrite" });
  expect(await place.db.tableNames()).toEqual([]);
});
