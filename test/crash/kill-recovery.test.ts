import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordFigures } from "./figures.ts";
import { type ScenarioName, scenarioOf } from "./scenarios.ts";
import { hasStrace, runTraced, type Step, type TracedRun } from "./trace.ts";
import { assertWhole, nightly, type Place, STRATEGIES, spread, Workshop } from "./workshop.ts";

/** First kills of a recovery; every step of it in the nightly run. */
const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 2;

/** Where the work is killed, so that recovery has the most to do: all written, nothing final. */
const SCENARIOS: readonly ScenarioName[] = [
  "several tables",
  "drop and create",
  "namespace",
  "failing work",
  "failing work, cleaned up",
];

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

const combinations = SCENARIOS.flatMap((scenario) => STRATEGIES.map((strategy) => ({ scenario, strategy })));

describe.skipIf(!hasStrace)("recovery killed, killed again, then left to finish", () => {
  test.for(combinations)("$scenario, $strategy", async ({ scenario, strategy }) => {
    const ends = await workshop.ends(scenario);
    const place = workshop.place(scenarioOf(scenario));
    const work = workshop.argv(place, { task: "work", scenario, strategy });
    await killBeforeItIsFinal(work, place);
    const again = workshop.keep(place);
    const recover = workshop.argv(place, { task: "recover", scenario, strategy });

    const whole = await runTraced(recover, { root: place.root, killAfter: Number.MAX_SAFE_INTEGER });
    expect(JSON.parse(whole.stdout)).toMatchObject({ ok: true, recovered: ["rolled-back"] });
    expect(await assertWhole(place, ends, "before")).toBe("before");

    const total = whole.steps.length;
    const problems: string[] = [];
    let kills = 0;
    const kill = async (at: number): Promise<TracedRun> => {
      const run = await runTraced(recover, { root: place.root, killAfter: at });
      if (run.signal === "SIGKILL") kills++;
      return run;
    };
    for (const [index, first] of spread(total - 1, SAMPLE).entries()) {
      again();
      const one = await kill(first);
      // The second kill falls somewhere else each time; 7 has no factor in common with most lengths.
      const two = await kill((index * 7) % total);
      try {
        await assertWhole(place, ends, "before");
      } catch (error) {
        const last = [one, two].map((run) => run.steps.at(-1)?.text.replaceAll(place.root, ""));
        problems.push(`killed at ${first}, ${last[0]}, then at ${last[1]}: ${String(error)}`);
      }
    }
    recordFigures(
      "Recovery, killed twice in a row",
      [{ "guarded work": scenario, strategy, steps: total, kills, lost: problems.length }],
      `${scenario} ${strategy}`,
    );
    expect(problems).toEqual([]);
    expect(kills).toBeGreaterThan(1);
  });
});

/** Kills the work when all of it is written, before it is final: at its rollback, or its last report. */
async function killBeforeItIsFinal(argv: readonly string[], place: Place): Promise<void> {
  const trial = workshop.keep(place);
  const { steps } = await runTraced(argv, { root: place.root, killAfter: () => false });
  const reports = steps.filter(isReport).length;
  expect(reports).toBeGreaterThan(0);
  // Two reports may be one write: then the kill comes too late, and is tried again.
  for (let attempt = 1; attempt <= 10; attempt++) {
    trial();
    const { signal } = await runTraced(argv, {
      root: place.root,
      // A capture looks through a door as well: only after a write it is a rollback's.
      killAfter: (steps) =>
        (steps.some(isReport) && steps.some(isRollback)) || steps.filter(isReport).length === reports,
    });
    if (signal === "SIGKILL" && isArmed(place)) return;
  }
  throw new Error("The work was never killed while it was armed.");
}

function isArmed({ uri }: Place): boolean {
  return readdirSync(join(uri, ".lancedb-backup/journal"), { recursive: true }).some((path) =>
    String(path).endsWith("armed.json"),
  );
}

const isReport = ({ call, text }: Step) => call === "write" && /\/log>, ".*outcome/.test(text);
const isRollback = ({ call, text }: Step) => call === "mkdir" && /staging\/door\./.test(text);
