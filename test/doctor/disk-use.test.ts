import { randomBytes } from "node:crypto";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { diagnose } from "../../src/doctor/diagnose.ts";
import { newDatabase } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";

const HOUR_MS = 3_600_000;

test("files that no version names are counted with their ages; those of a write under way are not", async () => {
  const { db, uri } = await newDatabase();
  await makeSampleTable(db, "words", { indices: true });
  const found = async () => (await diagnose({ uri })).findings.filter(({ check }) => check === "orphans");
  expect(await found()).toEqual([]);
  const put = (name: string, bytes: number, hours: number) => {
    const path = join(uri, "words.lance/data", name);
    writeFileSync(path, Buffer.alloc(bytes));
    utimesSync(path, new Date(), new Date(Date.now() - hours * HOUR_MS));
  };
  put("now.lance", 5, 0);
  expect(await found()).toEqual([]);
  put(".tmpx", 1_000, 5);
  put("cut-off.lance", 2_000, 72);
  expect(await found()).toEqual([
    expect.objectContaining({
      level: "note",
      about: "words",
      details: expect.stringContaining(
        "2 files (3,000 bytes) in it are named by no version, 5 hours to 3 days old",
      ),
    }),
  ]);
});

test("history that is most of a table is told with its share", async () => {
  const { db, uri } = await newDatabase();
  const rows = (n: number) => [{ id: n, text: randomBytes(3_000_000).toString("base64") }];
  const table = await db.createTable("docs", rows(0));
  const found = async () => (await diagnose({ uri })).findings.filter(({ check }) => check === "history");
  for (let n = 1; n < 4; n++) await table.add(rows(n), { mode: "overwrite" });
  const [finding] = await found();
  expect(finding?.details).toMatch(
    /^7\d % of its bytes are history: [\d,]+ bytes that only its 3 older versions need/,
  );
  await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000) });
  expect(await found()).toEqual([]);
});
