import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const EXAMPLE = join(import.meta.dirname, "../../../examples/companion.ts");
const ROUNDS = process.env["NIGHTLY"] === "1" ? 50 : 3;

test("ids in SQLite and vectors in LanceDB fit in every snapshot, also of a process that was killed at random", () => {
  const { status, stdout } = spawnSync(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", EXAMPLE, String(ROUNDS)],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  );
  expect([status, stdout.split("They fit.").length - 1]).toEqual([0, 2 * ROUNDS]);
});
