import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hasStrace, runTraced } from "../../crash/trace.ts";
import { stampOf } from "../../support/files.ts";
import { silent, takeSnapshot } from "../sound.ts";
import { makeAllKinds, newRestorePlace, type RestorePlace, restoreTo, sampleRows, showing } from "./kinds.ts";
import type { RestoreTask } from "./program.ts";

const PROGRAM = join(import.meta.dirname, "program.ts");
const nightly = process.env["NIGHTLY"] === "1";

/** Kills of one scenario, spread over its steps. */
const KILLS = nightly ? 400 : 8;

const run = (root: string, task: RestoreTask, killAfter?: number) =>
  runTraced([process.execPath, PROGRAM, JSON.stringify(task)], { root, killAfter });

/** Numbers of steps, spread over all of them, the first and last ones among them. */
function stepsToKillAt(steps: number): number[] {
  const count = Math.min(KILLS, steps);
  return Array.from(
    { length: count },
    (_, index) => 1 + Math.round((index * (steps - 1)) / Math.max(1, count - 1)),
  );
}

async function smallPlace(): Promise<RestorePlace> {
  const place = await newRestorePlace();
  await place.db.createTable("a", sampleRows(0, 20));
  const table = await place.db.createTable("b", sampleRows(0, 20));
  await table.delete("id = 3");
  await place.db.createNamespace(["ns"]);
  await place.db.createTable("n", sampleRows(0, 20), ["ns"]);
  return place;
}

describe.skipIf(!hasStrace)("killed after a change of a file", () => {
  test.each([
    ["a missing directory", false],
    ["an empty directory", true],
  ])(
    "new, into %s: it is whole or as it was; the next restore finds nothing in its way and leaves nothing behind",
    async (_what, isThere) => {
      const { uri, storage, directory } = await smallPlace();
      const before = await showing(uri);
      const content = await takeSnapshot(storage, uri);
      const parent = join(directory, "p");
      const target = join(parent, "restored");
      const task = { repository: storage.directory, snapshot: content.snapshot.id, options: { target } };
      const arrange = () => {
        rmSync(parent, { recursive: true, force: true });
        if (isThere) cpSync(join(directory, "p0"), parent, { recursive: true });
      };
      if (isThere) mkdirSync(join(directory, "p0", "restored"), { recursive: true });
      arrange();
      const { steps } = await run(parent, task);
      let [whole, none] = [0, 0];
      for (const at of stepsToKillAt(steps.length)) {
        arrange();
        const { signal } = await run(parent, task, at);
        const isWhole = existsSync(join(target, "a.lance"));
        if (signal === "SIGKILL") isWhole ? whole++ : none++;
        if (isWhole) expect(await showing(target)).toEqual(before);
        else {
          expect(existsSync(target) ? readdirSync(target) : []).toEqual([]);
          await restoreTo(storage, content, { target });
          expect(await showing(target)).toEqual(before);
          const left = readdirSync(parent).filter((name) => name !== "restored");
          expect(left).toEqual([]);
        }
      }
      expect(none).toBeGreaterThan(Math.min(KILLS, steps.length) / 3);
      expect(whole + none).toBeGreaterThan(0);
    },
  );

  test("in place: done again, all is as in the snapshot", async () => {
    const { uri, storage, directory, db } = await smallPlace();
    const before = await showing(uri);
    const content = await takeSnapshot(storage, uri);
    const a = await db.openTable("a");
    await a.add(sampleRows(100, 5));
    await db.dropTable("b");
    await db.dropTable("n", ["ns"]);
    await db.createTable("young", sampleRows(0, 2));
    const { young } = await showing(uri);
    const kept = join(directory, "kept");
    cpSync(uri, kept, { recursive: true });
    const task = {
      repository: storage.directory,
      snapshot: content.snapshot.id,
      options: { target: uri, mode: "in-place" as const },
    };
    const { steps } = await run(uri, task);
    for (const at of stepsToKillAt(steps.length)) {
      rmSync(uri, { recursive: true });
      cpSync(kept, uri, { recursive: true });
      await run(uri, task, at);
      await restoreTo(storage, content, task.options);
      expect(await showing(uri)).toEqual({ ...before, young });
      expect(readdirSync(join(uri, ".lancedb-backup", "staging"))).toEqual([]);
    }
  });
});

test("at random moments aborted: the target is as it was", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await makeAllKinds(db);
  const content = await takeSnapshot(storage, uri);
  const target = join(directory, "x", "y", "restored");
  const before = stampOf(directory);
  let aborted = 0;
  for (let n = 0; n < (nightly ? 300 : 40); n++) {
    const abort = new AbortController();
    const reason = new Error(`abort ${n}`);
    const timer = setTimeout(() => abort.abort(reason), n % 40);
    const link = n % 2 === 0;
    try {
      await restoreTo(storage, content, { target, link, signal: abort.signal });
      rmSync(join(directory, "x"), { recursive: true });
    } catch (error) {
      expect(error).toBe(reason);
      aborted++;
    } finally {
      clearTimeout(timer);
    }
    expect(readdirSync(directory).sort()).toEqual(["db", "repository"]);
  }
  expect(aborted).toBeGreaterThan(5);
  expect(stampOf(directory).filter((line) => !line.includes("repository"))).toEqual(
    before.filter((line) => !line.includes("repository")),
  );
  const already = restoreTo(storage, content, { target, signal: AbortSignal.abort(silent) });
  await expect(already).rejects.toBe(silent);
});
