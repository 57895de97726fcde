import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";

test("a listener that throws, or rejects, fails no work that is committed, and holds up no other", async () => {
  const place = await newDatabase();
  await makeSampleTable(place.db, "main");
  const told: string[] = [];
  place.manager.onCommitted(() => {
    throw new Error("at once");
  });
  place.manager.onCommitted(async () => {
    await sleep(1);
    throw new Error("later");
  });
  const end = place.manager.onCommitted(() => void told.push("third"));
  const work = () =>
    place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
      await (await db.openTable("main")).delete("id = 1");
      return "done";
    });
  expect(await work()).toBe("done");
  end();
  expect(await work()).toBe("done");
  expect(told).toEqual(["third"]);
  await sleep(20);
  const warnings = place.logged.filter(({ level }) => level === "warn").map(({ meta }) => meta?.["error"]);
  expect(warnings.sort()).toEqual(["at once", "at once", "later", "later"]);
});
