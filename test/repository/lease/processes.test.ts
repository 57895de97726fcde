import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { countLines, runUnderKills } from "../../concurrency/under-kills.ts";
import { recordFigures } from "../../crash/figures.ts";
import { newDirectory } from "../../support/database.ts";

test("killed holders bar nobody and never let two in who bar each other", async () => {
  const root = await newDirectory();
  const inside = join(root, "inside");
  mkdirSync(inside);
  const count = (output: string, kind: string) => countLines(output, new RegExp(`^turn ${kind}$`));
  const { output, kills } = await runUnderKills({
    program: join(import.meta.dirname, "holder.ts"),
    processes: 5,
    task: { directory: join(root, "repository"), inside },
    directory: root,
    pauseMs: [150, 300],
    isEnough: (output) => count(output, "shared") > 50 && count(output, "exclusive") > 20,
  });
  const [shared, exclusive] = [count(output, "shared"), count(output, "exclusive")];
  const overlaps = output.match(/^overlap.*$/gm) ?? [];
  recordFigures("Leases of a repository", [
    { processes: 5, shared, exclusive, "holders killed": kills, overlaps: overlaps.length },
  ]);
  expect(overlaps).toEqual([]);
});
