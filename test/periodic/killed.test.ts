import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, rowsOf } from "./harness.ts";

const nightly = process.env["NIGHTLY"] === "1";
const KILLS = nightly ? 60 : 8;

test("killed at any moment, a manager leaves whole files, and the next one goes on", async () => {
  await using place = new Place();
  const db = await place.db();
  await db.createTable("a", rowsOf(Array.from({ length: 5000 }, (_, id) => id)));
  for (let kill = 0; kill < KILLS; kill++) {
    const program = join(import.meta.dirname, "backups-for-ever.ts");
    const child = spawn(process.execPath, [program, place.uri, place.backupDir], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await sleep(kill * 23);
    child.kill("SIGKILL");
    await once(child, "exit");
    const named = place.files().filter((name) => !name.startsWith("."));
    if (named.length === 0) continue;
    await restoreLatest(place.backupDir, place.fresh());
  }
  const isFirst = place.files().every((name) => name.startsWith(".")); // none of them got as far as that
  const manager = place.manager({ incremental: true, maxDeltasBeforeFull: 1000 });
  const file = await manager.backupDelta();
  if (file !== null && !isFirst) expect(file).toMatch(/delta/);
  const target = place.fresh();
  await restoreLatest(place.backupDir, target);
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
});

test("a started manager does not keep a process alive that has nothing else to do", async () => {
  await using place = new Place();
  await (await place.db()).createTable("a", rowsOf([1]));
  const program = join(import.meta.dirname, "start-and-leave.ts");
  const args = [program, place.uri, place.backupDir];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 240_000 });
  expect({ stdout, status }).toEqual({ stdout: "started\n", status: 0 });
  expect(place.files()).toHaveLength(1);
});
