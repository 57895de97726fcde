import { spawnSync } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { expect, test } from "vitest";
import { MAIN } from "./cli.ts";
import { newPlace } from "./fixture.ts";

test("a full round trip in a shell script", async () => {
  const { database } = await newPlace();
  const { status, stdout, stderr } = spawnSync(
    "bash",
    [join(import.meta.dirname, "round-trip.sh"), MAIN, database],
    {
      encoding: "utf8",
      env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env["PATH"]}` },
    },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toMatch(/\nround trip: done\n$/);
});
