import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, rowsOf } from "./harness.ts";

const run = promisify(execFile);
const ROUNDS = 30;

test("managers of two processes with one backup directory do each other no harm", async () => {
  await using place = new Place();
  const db = await place.db();
  const table = await db.createTable("a", rowsOf(Array.from({ length: 500 }, (_, id) => id)));
  await db.createTable("z", rowsOf([1]));
  const script = join(import.meta.dirname, "backups-in-a-row.ts");
  const args = [script, place.uri, place.backupDir, String(ROUNDS)];
  let running = true;
  const children = Promise.all([run(process.execPath, args), run(process.execPath, args)]).finally(() => {
    running = false;
  });
  for (let round = 0; running; round++) {
    await table.update({ where: `id % 5 = ${round % 5}`, values: { name: `r${round}` } });
    if (round % 4 === 0) await table.optimize({ cleanupOlderThan: new Date() });
  }
  for (const { stdout } of await children) expect(JSON.parse(stdout)).toEqual([]);
  await place.manager({ incremental: true }).backupNow();
  const target = place.fresh();
  await restoreLatest(place.backupDir, target);
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
});
