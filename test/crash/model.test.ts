import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { recordFigures } from "./figures.ts";
import { type Command, Model, TABLES } from "./model.ts";
import { nightly, STRATEGIES, Workshop } from "./workshop.ts";

const workshop = new Workshop();
afterAll(() => workshop[Symbol.dispose]());

const SEED = Number(process.env["SEED"] ?? 20_261_121);
const RUNS = nightly ? 1500 : 40;

const slot = fc.constantFrom(0, 1);
const table = fc.constantFrom(...TABLES);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("begin" as const),
      slot,
      strategy: fc.constantFrom(...STRATEGIES),
      named: fc.uniqueArray(table, { maxLength: 2 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      slot,
      table,
      kind: fc.constantFrom("add", "add", "delete", "optimize"),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom("fail", "succeed", "crash", "crash"), slot }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("foreign" as const),
      table,
      kind: fc.constantFrom("add", "delete"),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("recover" as const),
      onConflict: fc.constantFrom(undefined, undefined, "overwrite" as const, "keep" as const),
    }),
  },
);

test(`random work, crashes, recoveries and other programs (SEED=${SEED})`, async () => {
  const totals = { runs: 0, steps: 0, crashes: 0, rollbacks: 0, recoveries: 0, conflicts: 0, foreign: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 4, maxLength: 24 }), async (commands) => {
      const root = join(workshop.root, `run-${totals.runs++}`);
      mkdirSync(root);
      await using model = await Model.make({ root, uri: join(root, "db"), backupDir: join(root, "backups") });
      for (const step of commands) await model.step(step);
      await model.settle();
      for (const [name, count] of Object.entries(model.counts)) totals[name as keyof typeof totals] += count;
      rmSync(root, { recursive: true, force: true });
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: !nightly },
  );
  recordFigures("Model of guarded work, crashes and recoveries", [{ seed: SEED, ...totals, lost: 0 }]);
  expect(totals.crashes).toBeGreaterThan(0);
});
