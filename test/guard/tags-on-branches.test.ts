import { join } from "node:path";
import { connect, type Table } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { BackupStrategy, Repository } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";

// A tag can name a version of a branch, whose numbers are not those of the main line.

const failure = new Error("on purpose");

async function place() {
  const made = await newDatabase();
  const table = await made.db.createTable("t", [{ id: 1 }]);
  const branch = await (await table.branches()).create("dev");
  for (const id of [2, 3]) await branch.add([{ id }]);
  await (await branch.tags()).create("on-dev", await branch.version());
  return { ...made, table };
}

const idsAt = async (table: Table, tag: string) => {
  await table.checkout(tag);
  const rows = (await table.query().toArray()) as { id: number }[];
  await table.checkoutLatest();
  return rows.map(({ id }) => id).sort();
};

for (const strategy of [BackupStrategy.DirectoryCopy, BackupStrategy.LanceVersion]) {
  test(`comes back where the work deleted or moved it, ${strategy}`, async () => {
    const { db, manager, logged } = await place();
    for (const change of ["delete", "move"] as const) {
      const failing = manager.withBackup(strategy, async (guarded) => {
        const inside = await guarded.openTable("t");
        await inside.add([{ id: 9 }]);
        const tags = await inside.tags();
        if (change === "delete") await tags.delete("on-dev");
        else await tags.update("on-dev", 1);
        throw failure;
      });
      await expect(failing).rejects.toBe(failure);
      expect(await idsAt(await db.openTable("t"), "on-dev")).toEqual([1, 2, 3]);
    }
    expect(logged.filter(({ message }) => message.startsWith("tags were left out"))).toEqual([]);
  });
}

test("is left out of a snapshot by name, as its branch is", async () => {
  const { db, uri, directory, table } = await place();
  for (const id of [4, 5, 6]) await table.add([{ id }]); // versions of the branch's numbers
  const repository = await Repository.init(join(directory, "repository"));
  const snapshot = await repository.backup({ source: uri });
  const target = join(directory, "restored");
  await repository.restore(snapshot.id, { target });
  expect(await (await (await (await connect(target)).openTable("t")).tags()).list()).toEqual({});
  expect(Object.keys(await (await (await db.openTable("t")).tags()).list())).toEqual(["on-dev"]);
  expect(JSON.stringify(snapshot)).toContain("tag on-dev: its version is not backed up");
});
