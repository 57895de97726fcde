import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { PeriodicBackupManager, type PeriodicBackupOptions, Repository, restoreLatest } from "lancedb-backup";
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../src/repository/index.ts";
import { systemClock } from "../../src/util/clock.ts";
import { run, runJson } from "../cli/cli.ts";
import { addRow, newPlace } from "../cli/fixture.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { onMachine } from "../support/other-machine.ts";

// A clock was three years ahead once. What was taken then is not the newest for three years.

const YEARS_MS = 3 * 365 * 86_400_000;

test("a snapshot from the future is not the latest; restore, scrub, doctor and prune go by the right ones", async () => {
  const place = await newPlace();
  const { env, database, directory, repo } = place;
  const backUp = (more: NodeJS.ProcessEnv = {}) =>
    runJson<Snapshot>(["backup", database], { env: { ...env, ...more } });
  const ahead = await backUp(onMachine({ aheadMs: YEARS_MS }));
  await addRow(place, 1000);
  const first = await backUp();
  await addRow(place, 1001);
  const second = await backUp();
  expect(new Date(ahead.createdAt).getTime()).toBeGreaterThan(Date.now() + YEARS_MS / 2);
  expect(second.newFiles).toBeLessThan(10); // it goes on from the one before, not from the one ahead

  const target = join(directory, "restored");
  const restored = await run(["restore", "latest", target, "--json"], { env });
  expect(restored.code).toBe(0);
  expect(JSON.parse(restored.stdout)).toMatchObject({ snapshot: second.id });
  expect(restored.stderr).toContain("lies in the future");
  expect(restored.stderr).toContain(ahead.id);

  expect(await runJson(["scrub", database], { env })).toMatchObject({ snapshot: second.id });
  const doctor = await run(["doctor", database], { env });
  expect(doctor.stdout).toMatch(new RegExp(`warning.*${ahead.id}`));
  expect(doctor.stdout).toContain(`lancedb-backup delete ${ahead.id} --repo ${repo}`);

  const pruned = await runJson<{ kept: { snapshot: Snapshot; reasons: string[] }[] }>(
    ["prune", "--keep-last", "1", "--yes"],
    { env },
  );
  expect(pruned.kept.map(({ snapshot, reasons }) => [snapshot.id, reasons.join()])).toEqual([
    [ahead.id, expect.stringContaining("future")],
    [second.id, expect.stringContaining("keepLast 1")],
  ]);
  expect(pruned.kept.map(({ snapshot }) => snapshot.id)).not.toContain(first.id);
});

test("clocks of machines differ by a little: a snapshot some seconds ahead is the latest", async () => {
  const place = await newPlace();
  const { env, database } = place;
  await runJson(["backup", database], { env });
  const ahead = await runJson<Snapshot>(["backup", database], {
    env: { ...env, ...onMachine({ aheadMs: 60_000 }) },
  });
  const info = await run(["info", "latest", "--json"], { env });
  expect(JSON.parse(info.stdout)).toMatchObject({ id: ahead.id });
  expect(info.stderr).toBe("");
});

test("where all lie in the future the clock is wrong now, and the newest is the latest", async () => {
  const place = await newPlace();
  const { env, database, repo } = place;
  const ahead = await runJson<Snapshot>(["backup", database], {
    env: { ...env, ...onMachine({ aheadMs: YEARS_MS }) },
  });
  const { logger, logged } = recordingLogger();
  const repository = await Repository.open(repo, { logger });
  expect((await repository.get("latest")).id).toBe(ahead.id);
  expect(logged.filter(({ level }) => level === "warn")).toMatchObject([{ meta: { snapshot: ahead.id } }]);
  const db = await connect(database);
  db.close();
});

describe.each([{ incremental: false }, { incremental: true }])(
  "periodic files from the future, %o",
  (options) => {
    test("are not the newest, with and without a time; what comes after them has its own time", async () => {
      const directory = await newDirectory();
      const [uri, backupDir] = [join(directory, "db"), join(directory, "backups")];
      const db = await connect(uri);
      const table = await db.createTable("words", [{ id: 0 }]);
      const { logger, logged } = recordingLogger();
      const begin = (aheadMs: number) =>
        new PeriodicBackupManager({
          ...options,
          uri,
          backupDir,
          logger,
          keep: 2,
          clock: { ...systemClock, now: () => systemClock.now() + aheadMs },
        } as PeriodicBackupOptions);
      const ahead = basename(await begin(YEARS_MS).backupNow());
      const manager = begin(0);
      for (let id = 1; id < 5; id++) {
        await table.add([{ id }]);
        await manager.backupNow();
        if (id === 2) await manager.backupFull();
      }
      for (const [name, at] of [
        ["now", new Date()],
        ["latest", undefined],
      ] as const) {
        const summary = await restoreLatest(backupDir, join(directory, name), { logger, ...(at && { at }) });
        expect(summary.tables).toEqual({ words: 5 });
        expect(Math.abs(summary.at.getTime() - Date.now())).toBeLessThan(60_000);
      }
      expect(readdirSync(backupDir)).toContain(ahead); // kept, and in nobody's place
      const warned = logged.filter(({ message }) => message.includes("lie in the future"));
      expect(warned[0]?.meta).toMatchObject({ files: [ahead] });
      db.close();
    });
  },
);

test("where all periodic files lie in the future the clock is wrong now, and the newest serves", async () => {
  const directory = await newDirectory();
  const [uri, backupDir] = [join(directory, "db"), join(directory, "backups")];
  const db = await connect(uri);
  await db.createTable("words", [{ id: 0 }]);
  db.close();
  const clock = { ...systemClock, now: () => systemClock.now() + YEARS_MS };
  await new PeriodicBackupManager({ uri, backupDir, clock } as PeriodicBackupOptions).backupNow();
  const summary = await restoreLatest(backupDir, join(directory, "back"));
  expect(summary.tables).toEqual({ words: 1 });
  await expect(restoreLatest(backupDir, join(directory, "now"), { at: new Date() })).rejects.toMatchObject({
    code: "BACKUP_NOT_FOUND",
  });
});
