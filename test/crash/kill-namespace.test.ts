import { connect } from "@lancedb/lancedb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupManager } from "../../src/index.ts";
import { rows } from "./fixture.ts";
import { observe } from "./observe.ts";
import { type ScenarioName, scenarioOf } from "./scenarios.ts";
import { silent } from "./silent.ts";
import { hasStrace, runTraced } from "./trace.ts";
import { nightly, type Place, STRATEGIES, spread, Workshop } from "./workshop.ts";

// Killed, and before anybody recovers, others make tables in namespaces: what they made stays, all else is as before.

const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 3;
const SCENARIOS: readonly ScenarioName[] = ["namespace", "failing work in a namespace"];

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

const combinations = SCENARIOS.flatMap((scenario) => STRATEGIES.map((strategy) => ({ scenario, strategy })));

describe.skipIf(!hasStrace)("killed at every step, then others make tables in namespaces", () => {
  test.for(combinations)("$scenario, $strategy", async ({ scenario, strategy }) => {
    const place = workshop.place(scenarioOf(scenario));
    const again = workshop.keep(place);
    const argv = workshop.argv(place, { task: "work", scenario, strategy });
    const whole = await runTraced(argv, { root: place.root, killAfter: () => false });
    const done = await observe(place.uri);
    let rolledBack = 0;
    for (const at of spread(whole.steps.length - 1, SAMPLE)) {
      again();
      const before = await observe(place.uri);
      const { steps } = await runTraced(argv, { root: place.root, killAfter: at });
      await makeTables(place);
      const manager = new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });
      const { entries } = await manager.recover();
      const { ns$theirs, other$theirs, ...rest } = await observe(place.uri);
      const where = `${at}: ${steps.at(-1)?.text}, ${entries.map(({ action }) => action)}`;
      expect([ns$theirs?.rows.length, other$theirs?.rows.length], where).toEqual([3, 3]);
      const isDone = JSON.stringify(rest) === JSON.stringify(done) && entries[0]?.action !== "rolled-back";
      expect(rest, where).toEqual(isDone ? done : before);
      if (entries[0]?.action === "rolled-back") rolledBack++;
    }
    expect(rolledBack).toBeGreaterThan(0);
  });
});

describe.skipIf(!hasStrace)("a restore killed at every step, then completed", () => {
  test.for(STRATEGIES)("%s", async (strategy) => {
    const place = workshop.place({ namespace: true });
    const manager = new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });
    const db = await connect(place.uri);
    await db.createTable("gone", rows(0, 4), ["ns"]);
    const after = await observe(place.uri);
    const backup = await manager.createBackup(strategy, { tables: ["a", "ns$gone", "ns$n", "ns$new"] });
    await (await db.openTable("a")).delete("true");
    for (const name of ["gone", "n"]) await db.dropTable(name, ["ns"]);
    for (const name of ["n", "new", "later"]) await db.createTable(name, rows(0, 2), ["ns"]);
    db.close();
    const before = await observe(place.uri);
    const again = workshop.keep(place);
    const argv = workshop.argv(place, { task: "restore", scenario: "namespace", strategy, backup });
    const whole = await runTraced(argv, { root: place.root, killAfter: () => false });
    const { ns$later, ...rest } = await observe(place.uri);
    expect([ns$later?.rows.length, rest]).toEqual([2, after]);
    let completed = 0;
    for (const at of spread(whole.steps.length - 1, SAMPLE)) {
      again();
      const { steps } = await runTraced(argv, { root: place.root, killAfter: at });
      const { entries } = await manager.recover();
      const isCompleted = entries.some(({ action }) => action === "restored");
      const isArmed = steps.some(({ text }) => /^rename.*journal\/restore_.*armed\.json"/.test(text));
      const where = `${at}: ${steps.at(-1)?.text}`;
      expect(await observe(place.uri), where).toEqual(isArmed ? { ...after, ns$later } : before);
      if (isCompleted) completed++;
    }
    expect(completed).toBeGreaterThan(0);
  });
});

async function makeTables({ uri }: Place): Promise<void> {
  const db = await connect(uri);
  await db.createNamespace(["other"]);
  for (const path of [["ns"], ["other"]]) await db.createTable("theirs", rows(900, 3), path);
  db.close();
}
