import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordFigures } from "./figures.ts";
import { runInjected } from "./injected.ts";
import { type ScenarioName, scenarioOf } from "./scenarios.ts";
import { hasStrace, runTraced, type Step } from "./trace.ts";
import {
  assertWhole,
  inParallel,
  nightly,
  outcomeOf,
  type Place,
  SCENARIOS,
  STRATEGIES,
  spread,
  Workshop,
} from "./workshop.ts";

/** Kills of one scenario; every step of it in the nightly run. */
const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 2;

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

interface Killed {
  /** The signal came before the program had ended. */
  readonly killed: boolean;
  /** What the tables must be; unknown where the kill cannot be placed among the steps. */
  readonly expected: "before" | "after" | "either";
  readonly where: string;
}

/** The step that makes the work final. */
const isCommit = (step: Step) => /^rename(at2?)?\(.*armed\.json.*done\.json/.test(step.text);

async function killTraced(argv: readonly string[], place: Place, fails: boolean, at: number) {
  const run = await runTraced(argv, { root: place.root, killAfter: at });
  const committed = !fails && run.steps.some(isCommit);
  const where = run.steps.at(-1)?.text.replaceAll(place.root, "") ?? "the start";
  const killed: Killed = {
    killed: run.signal === "SIGKILL",
    expected: committed ? "after" : "before",
    where,
  };
  return { ...killed, steps: run.steps.length, run };
}

async function killInside(argv: readonly string[], place: Place, fails: boolean, at: number) {
  const run = await runInjected(argv, { root: place.root, at });
  const reported = outcomeOf(run.stdout)?.ok === true;
  const expected = fails ? "before" : reported ? "after" : "either";
  const killed: Killed = { killed: run.signal === "SIGKILL", expected, where: run.hit ?? "the end" };
  return { ...killed, steps: run.calls ?? 0, run };
}

const kill = hasStrace ? killTraced : killInside;
if (!hasStrace) {
  console.warn(
    "strace is missing: the program kills itself at its own file calls, LanceDB's are not reached.",
  );
}

/** Each scenario with one strategy, turn about; with both in the nightly run. */
const combinations = SCENARIOS.flatMap((scenario, index) =>
  STRATEGIES.map((strategy, number) => ({
    scenario,
    strategy,
    isTurn: index % STRATEGIES.length === number,
  })),
).filter(({ isTurn }) => nightly || isTurn);

describe("killed after each change of a file, recovered, all is as before or as after", () => {
  test.for(combinations)("$scenario, $strategy", async ({ scenario, strategy }) => {
    const { fails = false } = scenarioOf(scenario);
    const ends = await workshop.ends(scenario);
    const line = { steps: 0, kills: 0, before: 0, after: 0, lost: 0 };
    const problems: string[] = [];
    const killAt = async (at: number): Promise<boolean> => {
      const place = workshop.place(scenarioOf(scenario));
      const argv = workshop.argv(place, { task: "work", scenario, strategy });
      const result = await kill(argv, place, fails, at);
      if (result.killed) line.kills++;
      else line.steps = result.steps;
      try {
        const end = await assertWhole(place, ends, result.expected);
        if (result.killed) line[end]++;
        workshop.remove(place);
      } catch (error) {
        line.lost++;
        problems.push(`killed at ${at}, ${result.where}: ${String(error)}`);
      }
      return result.killed;
    };
    // Unharmed first: it tells how many steps there are.
    expect(await killAt(Number.MAX_SAFE_INTEGER)).toBe(false);
    expect(problems).toEqual([]);
    await inParallel(spread(line.steps - 1, SAMPLE), async (at) => {
      await killAt(at);
    });
    // A run may have a step more than the one that was counted: on until one survives.
    for (let at = line.steps; nightly && (await killAt(at)); at++);
    recordFigures(
      "Guarded work, killed",
      [{ "guarded work": scenario, strategy, ...line }],
      `${scenario} ${strategy}`,
    );
    expect(problems).toEqual([]);
    expect(line.kills).toBeGreaterThan(0);
  });
});

describe("where strace is missing", () => {
  test("the program kills itself at its own file calls", async () => {
    const scenario: ScenarioName = "failing work";
    const ends = await workshop.ends(scenario);
    const place = workshop.place(scenarioOf(scenario));
    const argv = workshop.argv(place, { task: "work", scenario, strategy: "lance-version" });
    const unharmed = await killInside(argv, place, true, 0);
    expect(unharmed.killed).toBe(false);
    expect(unharmed.steps).toBeGreaterThan(100);
    for (const at of spread(unharmed.steps - 1, nightly ? Number.POSITIVE_INFINITY : 5)) {
      const place = workshop.place(scenarioOf(scenario));
      const argv = workshop.argv(place, { task: "work", scenario, strategy: "lance-version" });
      const { killed } = await killInside(argv, place, true, at + 1);
      expect(killed).toBe(true);
      expect(await assertWhole(place, ends, "before")).toBe("before");
      workshop.remove(place);
    }
  });
});
