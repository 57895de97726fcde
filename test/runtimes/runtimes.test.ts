import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";
import { installed, newApplication, run } from "./application.ts";

const JEST = "30.5.2";
const BUN = "1.4.5";
const DENO = "2.9.6";

let application: string;
let expected: object;
beforeAll(async () => {
  application = newApplication();
  ({ EXPECTED: expected } = await import(join(application, "round-trip.mjs")));
});
afterAll(() => rmSync(application, { recursive: true, force: true }));

/** A runtime's program and what stands before the name of what it is to run. */
type Runtime = readonly [command: string, ...args: string[]];

const node: Runtime = [process.execPath];

function bun(): Runtime | undefined {
  const at = installed(
    `@oven/bun-${process.platform}-${process.arch === "arm64" ? "aarch64" : process.arch}`,
    BUN,
  );
  return at === undefined ? undefined : [join(at, "bin/bun")];
}

function deno(): Runtime | undefined {
  const libc = process.platform === "linux" ? "-glibc" : "";
  const at = installed(`@deno/${process.platform}-${process.arch}${libc}`, DENO);
  return at === undefined ? undefined : [join(at, "deno"), "run", "--allow-all", "--node-modules-dir=manual"];
}

function runMain([command, ...args]: Runtime, ...more: string[]) {
  return run(command, [...args, "main.mjs", ...more], { cwd: application });
}

test("Jest: guarded work, its rollback, periodic files and a repository, by import and by require", (context) => {
  const jest = installed("jest", JEST);
  if (jest === undefined) return context.skip();
  const { status, stderr } = run(
    process.execPath,
    [join(jest, "bin/jest.js"), "--no-cache", "--no-watchman"],
    // Jest's own requirement for ES modules.
    { cwd: application, env: { NODE_OPTIONS: "--experimental-vm-modules" } },
  );
  expect(stderr).toMatch(/Tests: +2 passed, 2 total/);
  expect(status).toBe(0);
});

describe.each([
  ["Bun", bun],
  ["Deno", deno],
] as const)("%s", (_name, find) => {
  test("guarded work, its rollback, periodic files and a repository", async (context) => {
    const runtime = find();
    if (runtime === undefined) return context.skip();
    const { stdout, stderr } = runMain(runtime, await newDirectory());
    expect(stdout, stderr).toMatch(/^\{.*\}\n$/);
    expect(JSON.parse(stdout)).toEqual(expected);
  });

  test("what dies in it is put back by Node, and what dies in Node by it", async (context) => {
    const runtime = find();
    if (runtime === undefined) return context.skip();
    for (const [dying, recovering] of [
      [runtime, node],
      [node, runtime],
    ] as const) {
      const root = await newDirectory();
      runMain(node, root);
      expect(runMain(dying, root, "die")).toMatchObject({ signal: "SIGKILL" });
      const { stdout, stderr } = runMain(recovering, root, "recover");
      expect(stdout, stderr).toBe(
        `${JSON.stringify({ actions: ["rolled-back"], ids: [1, 2, 5], backups: [] })}\n`,
      );
    }
  });
});

test("Deno, which copies where a reflink is asked for: none is said to be made", async (context) => {
  const runtime = deno();
  if (runtime === undefined) return context.skip();
  const root = await newDirectory();
  runMain(node, root);
  expect(runMain(runtime, root, "reflink").stdout).toBe("UNSUPPORTED\n");
});
