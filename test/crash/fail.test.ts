import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordFigures } from "./figures.ts";
import { runInjected } from "./injected.ts";
import type { Outcome } from "./program.ts";
import { type ScenarioName, scenarioOf } from "./scenarios.ts";
import { hasStrace, runTraced } from "./trace.ts";
import {
  assertWhole,
  type Ends,
  inParallel,
  nightly,
  outcomeOf,
  type Place,
  SCENARIOS,
  STRATEGIES,
  spread,
  Workshop,
} from "./workshop.ts";

/** Errors of one scenario; at every call in the nightly run. */
const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 2;

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

/** One call that fails, or the disk that is gone from there on. */
const KINDS = [
  { kind: "EIO, once", error: "EIO", on: false },
  { kind: "ENOSPC, from there on", error: "ENOSPC", on: true },
] as const;

const everything = SCENARIOS.flatMap((scenario, index) =>
  KINDS.flatMap((kind) => STRATEGIES.map((strategy) => ({ scenario, strategy, index, ...kind }))),
);
/** Each scenario with both kinds, each kind with another strategy, turn about. */
const combinations = everything.filter(
  ({ index, on, strategy }) => nightly || ((index % 2 === 0) === on) === (strategy === STRATEGIES[0]),
);

/** What the tables must be, by what the caller was told; throws where it was told too little. */
function expectedAfter(outcome: Outcome | undefined, scenario: ScenarioName, place: Place) {
  if (!outcome) throw new Error("the program said nothing");
  if (outcome.ok) return "after";
  const { error } = outcome;
  if (!error) throw new Error("the program gave no error");
  const own = scenarioOf(scenario).fails && error.message === "the work failed on purpose";
  if (own) return "before";
  if (!error.ours) throw new Error(`not an error of ours: ${error.name}: ${error.message}`);
  if (!/\(E[A-Z]+\)/.test(error.message)) throw new Error(`no cause in "${error.message}"`);
  if (!error.message.includes(place.root)) throw new Error(`no path in "${error.message}"`);
  if (error.code === "IO" && !error.path) throw new Error(`an IoError without a path: "${error.message}"`);
  if (!error.cause) throw new Error(`no cause under "${error.message}"`);
  return error.message.includes("Its changes are there") ? "after" : "before";
}

async function check(
  place: Place,
  ends: Ends,
  scenario: ScenarioName,
  run: { stdout: string; stderr: string },
) {
  const noise = run.stderr.replaceAll(/^(injected at|calls:).*$/gm, "").trim();
  if (noise) throw new Error(`on stderr: ${noise}`);
  const outcome = outcomeOf(run.stdout);
  await assertWhole(place, ends, expectedAfter(outcome, scenario, place));
  return outcome?.ok ? "succeeded" : (outcome?.error?.name ?? "");
}

describe("each of our own file calls fails, the caller hears of it, all is as before or as after", () => {
  test.for(combinations)("$scenario, $strategy, $kind", async (combination) => {
    const { scenario, strategy, kind, error, on } = combination;
    const ends = await workshop.ends(scenario);
    const run = (place: Place, at: number) =>
      runInjected(workshop.argv(place, { task: "work", scenario, strategy }), {
        root: place.root,
        at,
        error,
        on,
      });
    const total = (await run(workshop.place(scenarioOf(scenario)), 0)).calls ?? 0;
    expect(total).toBeGreaterThan(20);

    const problems: string[] = [];
    const told: Record<string, number> = {};
    await inParallel(spread(total - 1, SAMPLE), async (index) => {
      const place = workshop.place(scenarioOf(scenario));
      const result = await run(place, index + 1);
      try {
        expect(result.hit).toBeDefined();
        const name = await check(place, ends, scenario, result);
        told[name] = (told[name] ?? 0) + 1;
        workshop.remove(place);
      } catch (reason) {
        problems.push(`${result.hit?.replaceAll(place.root, "")}: ${String(reason)}`);
      }
    });
    const answers = Object.entries(told).map(([name, count]) => `${count} ${name}`);
    const errors = Math.min(total, SAMPLE);
    const line = {
      "guarded work": scenario,
      strategy,
      error: kind,
      calls: total,
      errors,
      "the caller was told": answers.join(", "),
      lost: problems.length,
    };
    recordFigures("Errors of our own calls", [line], `${scenario} ${strategy} ${kind}`);
    expect(problems).toEqual([]);
  });
});

describe.skipIf(!hasStrace)("LanceDB's own calls fail, by strace", () => {
  // Rust renames by renameat and links by linkat, Node by rename and link: so these are all LanceDB's.
  const cases = (["insert", "insertRecordsWithBackup", "several tables", "failing work"] as const).flatMap(
    (scenario) => ["renameat", "linkat"].map((call) => ({ scenario, call })),
  );

  test.for(cases)("$scenario, $call", async ({ scenario, call }) => {
    const strategy = "lance-version";
    const ends = await workshop.ends(scenario);
    const problems: string[] = [];
    let [injected, refused] = [0, 0];
    for (let at = 1; ; at += nightly ? 1 : 2) {
      const place = workshop.place(scenarioOf(scenario));
      const argv = workshop.argv(place, { task: "work", scenario, strategy });
      const run = await runTraced(argv, { root: place.root, inject: `${call}:error=ENOSPC:when=${at}` });
      if (!run.injected) break;
      injected++;
      try {
        const outcome = outcomeOf(run.stdout);
        if (outcome?.ok === false) refused++;
        // Inside withBackup the caller gets LanceDB's error unchanged; the helpers wrap it.
        const wrapped = scenarioOf(scenario).helper !== undefined;
        if (wrapped && outcome?.error) expect(outcome.error).toMatchObject({ ours: true, code: "LANCE" });
        if (outcome?.error?.code !== "RESTORE") expect(outcome?.error?.message ?? "").not.toMatch(/rollback/);
        await assertWhole(place, ends, outcome?.ok ? "after" : "before");
        workshop.remove(place);
      } catch (reason) {
        problems.push(`${run.injected.text.replaceAll(place.root, "")}: ${String(reason)}`);
      }
    }
    const line = {
      "guarded work": scenario,
      call,
      errors: injected,
      "the caller was told": refused,
      lost: problems.length,
    };
    recordFigures("Errors of LanceDB's own calls", [line], `${scenario} ${call}`);
    expect(problems).toEqual([]);
    expect(injected).toBeGreaterThan(0);
  });
});

describe("each file call of a recovery fails; the next recovery makes it whole", () => {
  const scenario = "failing work";
  test.for(STRATEGIES)("%s", async (strategy) => {
    const ends = await workshop.ends(scenario);
    const place = workshop.place(scenarioOf(scenario));
    const work = workshop.argv(place, { task: "work", scenario, strategy });
    const { calls = 0 } = await runInjected(work, { root: place.root, at: 0 });
    // The work is killed while it rolls back.
    const dead = workshop.place(scenarioOf(scenario));
    const argv = workshop.argv(dead, { task: "work", scenario, strategy });
    const { signal } = await runInjected(argv, { root: dead.root, at: Math.round(calls * 0.6) });
    expect(signal).toBe("SIGKILL");
    const again = workshop.keep(dead);
    const recover = workshop.argv(dead, { task: "recover", scenario, strategy });
    const total = (await runInjected(recover, { root: dead.root, at: 0 })).calls ?? 0;
    const problems: string[] = [];
    const at = spread(total - 1, nightly ? Number.POSITIVE_INFINITY : 6);
    for (const index of at) {
      again();
      const on = index % 2 === 0;
      const run = await runInjected(recover, { root: dead.root, at: index + 1, error: "EIO", on });
      try {
        const outcome = outcomeOf(run.stdout);
        if (outcome?.error) expectedAfter(outcome, scenario, dead);
        await assertWhole(dead, ends, "before");
      } catch (reason) {
        problems.push(`${run.hit?.replaceAll(dead.root, "")}: ${String(reason)}`);
      }
    }
    recordFigures("Errors in a recovery", [{ strategy, errors: at.length, lost: problems.length }], strategy);
    expect(problems).toEqual([]);
  });
});
