import { isDeepStrictEqual } from "node:util";
import { connect } from "@lancedb/lancedb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { recordFigures } from "./figures.ts";
import { rows } from "./fixture.ts";
import { runInjected } from "./injected.ts";
import { leftovers, observe } from "./observe.ts";
import { silent } from "./silent.ts";
import { hasStrace, runTraced } from "./trace.ts";
import { type Ends, nightly, outcomeOf, type Place, STRATEGIES, spread, Workshop } from "./workshop.ts";

/** Kills of one restore; every step of it in the nightly run. */
const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 3;

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

interface Killed {
  readonly steps: number;
  readonly killed: boolean;
  /** Whether the restore had been armed; unknown without strace. */
  readonly armed: boolean | undefined;
  readonly where: string;
}

/** Kills a program after so many of its changes of files; LanceDB's own among them where there is strace. */
async function kill(argv: readonly string[], { root }: Place, at: number): Promise<Killed> {
  if (!hasStrace) {
    const run = await runInjected(argv, { root, at: at === Number.MAX_SAFE_INTEGER ? 0 : at });
    const killed = run.signal === "SIGKILL";
    return { steps: run.calls ?? 0, killed, armed: undefined, where: run.hit ?? "the end" };
  }
  const run = await runTraced(argv, { root, killAfter: at });
  const armed = run.steps.some((step) => /^rename.*journal\/restore_.*armed\.json"/.test(step.text));
  const where = run.steps.at(-1)?.text.replaceAll(root, "") ?? "the start";
  return { steps: run.steps.length, killed: run.signal === "SIGKILL", armed, where };
}

/** A backup of four tables, one of them absent; then two are written to, one is made anew, one appears. */
async function arrange(strategy: (typeof STRATEGIES)[number]) {
  const place = workshop.place();
  const manager = new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });
  const after = await observe(place.uri);
  const backup = await manager.createBackup(strategy, { tables: ["a", "b", "c", "new"] });
  const db = await connect(place.uri);
  await (await db.openTable("a")).delete("id > 5");
  await (await (await db.openTable("a")).tags()).delete("first");
  await (await db.openTable("b")).add(rows(500, 5));
  await db.dropTable("c");
  await db.createTable("c", [{ other: 1 }]);
  await db.createTable("new", rows(0, 3));
  db.close();
  const ends: Ends = { before: await observe(place.uri), after };
  expect(isDeepStrictEqual(ends.before, ends.after)).toBe(false);
  const task = { scenario: "insert", strategy, backup } as const;
  return {
    place,
    backup,
    ends,
    again: workshop.keep(place),
    restore: workshop.argv(place, { task: "restore", ...task }),
    recover: workshop.argv(place, { task: "recover", ...task }),
  };
}

type Arranged = Awaited<ReturnType<typeof arrange>>;

/** All tables are as the backup has them where the restore had begun, or as they were; nothing is left. */
async function assertWhole({ place, ends, backup }: Arranged, armed: boolean | undefined): Promise<string> {
  const manager = new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });
  const { entries } = await manager.recover();
  const actions = entries.filter(({ action }) => action !== "held");
  const now = await observe(place.uri);
  const end = isDeepStrictEqual(now, ends.after)
    ? "after"
    : isDeepStrictEqual(now, ends.before)
      ? "before"
      : undefined;
  const view = Object.entries(now).map(([table, { rows }]) => `${table}: ${rows.length} rows`);
  if (!end) throw new Error(`mixed: ${view.join(", ")}; recovered ${JSON.stringify(actions)}`);
  if (armed !== undefined && end !== (armed ? "after" : "before")) throw new Error(`all as ${end}`);
  if (actions.some(({ action }) => action !== "restored" && action !== "swept"))
    throw new Error(`recovered ${JSON.stringify(actions)}`);
  // The backup is whole still, and goes when it is told to.
  await manager.restoreBackup(backup);
  expect(await observe(place.uri)).toEqual(ends.after);
  await manager.cleanupBackup(backup);
  // The manifest of the table that had been made anew is never deleted.
  const left = leftovers(place.uri, place.backupDir).filter((path) => !path.endsWith("aside/manifests"));
  expect(left).toEqual([]);
  return end;
}

describe("restoreBackup killed after each change of a file, then recovered: all tables or none", () => {
  const lines: Record<string, string | number>[] = [];

  test.for(STRATEGIES)("%s", async (strategy) => {
    const arranged = await arrange(strategy);
    const { place, restore, again } = arranged;
    const whole = await kill(restore, place, Number.MAX_SAFE_INTEGER);
    expect(whole.killed).toBe(false);
    expect(await assertWhole(arranged, true)).toBe("after");
    const count = { before: 0, after: 0, lost: 0 };
    const problems: string[] = [];
    for (const at of spread(whole.steps - 1, SAMPLE)) {
      again();
      const { killed, armed, where } = await kill(restore, place, Math.max(at, 1));
      try {
        const end = await assertWhole(arranged, killed ? armed : true);
        count[end === "after" ? "after" : "before"]++;
      } catch (error) {
        count.lost++;
        problems.push(`killed at ${at}, ${where}: ${String(error)}`);
      }
    }
    lines.push({ strategy, steps: whole.steps, ...count });
    expect(problems).toEqual([]);
    expect(count.before).toBeGreaterThan(0);
    expect(count.after).toBeGreaterThan(0);
  });

  test.for(STRATEGIES)("%s, and the recovery is killed, twice", async (strategy) => {
    const arranged = await arrange(strategy);
    const { place, restore, recover, again } = arranged;
    const whole = await kill(restore, place, Number.MAX_SAFE_INTEGER);
    const problems: string[] = [];
    // Where the first tables are back and the last are not.
    for (const first of [0.45, 0.7].map((part) => Math.round(part * whole.steps))) {
      for (const [index, second] of spread(whole.steps - first, nightly ? SAMPLE : 2).entries()) {
        again();
        const one = await kill(restore, place, first);
        await kill(recover, place, Math.max(1, second));
        await kill(recover, place, 1 + ((index * 7) % whole.steps));
        try {
          await assertWhole(arranged, one.armed);
        } catch (error) {
          problems.push(`killed at ${first}, ${one.where}, then at ${second}: ${String(error)}`);
        }
      }
    }
    expect(problems).toEqual([]);
  });

  test.for(STRATEGIES)("%s, a call fails in place of the kill", async (strategy) => {
    const arranged = await arrange(strategy);
    const { place, restore, again } = arranged;
    const { calls } = await runInjected(restore, { root: place.root, at: 0 });
    const problems: string[] = [];
    const seen = new Set<string>();
    for (const at of spread((calls ?? 0) - 1, SAMPLE)) {
      again();
      const { stdout, hit } = await runInjected(restore, { root: place.root, at: at + 1, error: "EIO" });
      const error = outcomeOf(stdout)?.error;
      const begun = error && /in part; recover\(\) finishes it/.test(error.message);
      try {
        const end = await assertWhole(arranged, error ? begun : undefined);
        seen.add(error ? end : "no error");
      } catch (reason) {
        problems.push(`failed at ${at + 1}, ${hit}: ${error?.message}: ${String(reason)}`);
      }
    }
    expect(problems).toEqual([]);
    expect(seen.size).toBeGreaterThan(1);
  });

  afterAll(() => recordFigures("A restore, killed", lines));
});
