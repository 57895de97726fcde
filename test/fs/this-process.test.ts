import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { livenessOf, thisProcess } from "../../src/fs/this-process.ts";

const MODULE = join(import.meta.dirname, "../../src/fs/this-process.ts");

test("a process that has ended is dead, one under a number that was used again too", () => {
  const { pid } = spawnSync("true");
  expect(livenessOf({ ...thisProcess, pid })).toBe("dead");
  expect(livenessOf({ ...thisProcess, pid: process.ppid })).toBe("dead"); // with our start time
  expect(livenessOf(thisProcess)).toBe("alive");
});

test.skipIf(process.platform !== "linux")("one that cannot be read for now is not taken for dead", () => {
  const program = `
    import { openSync } from "node:fs";
    const { livenessOf } = await import(${JSON.stringify(MODULE)});
    try {
      for (;;) openSync("/dev/null");
    } catch (error) {
      process.exitCode = error.code === "EMFILE" ? 0 : 1;
    }
    const answer = livenessOf(${JSON.stringify(thisProcess)});
    process._rawDebug(answer);
  `;
  const script = `ulimit -n 64; exec "$0" --input-type=module -e "$1"`;
  const { stderr, status } = spawnSync("bash", ["-c", script, process.execPath, program], {
    encoding: "utf8",
  });
  expect([stderr.trim().split("\n").at(-1), status]).toEqual(["unknown", 0]);
});
