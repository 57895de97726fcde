import { join } from "node:path";
import { configDefaults, defineConfig } from "vitest/config";

// The nightly run repeats the random tests long enough to find what a quick run does not.
const nightly = process.env["NIGHTLY"] === "1";

/** Left out where a person runs `npm test`: they kill programs at every step, and take three quarters of the time. */
const THOROUGH = [
  "test/crash/**",
  "test/concurrency/**",
  "test/runtimes/**",
  "test/situations/**",
  "test/**/{kill,killed,broken,hot-writer,stale-handles,guarantee}.test.ts",
  "test/guard/{namespaces,handles-behind-a-jump}.test.ts",
  "test/guard/restore/beside-a-cleanup.test.ts",
  "test/cli/{broken-input,output}.test.ts",
];
const all = nightly || Boolean(process.env["CI"]);

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...(all ? [] : THOROUGH)],
    // Each file in a process of its own: LanceDB is a native module with threads, and some tests kill processes.
    pool: "forks",
    // Much of their time is waiting for the disk and for programs: two more use what two leave idle.
    maxWorkers: all ? 4 : 2,
    // For the thousands of programs that are started to be killed: half of their time is compiling.
    env: {
      NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/node-compile"),
      // Nothing is left in the directories of whoever runs the tests.
      LANCEDB_BACKUP_CACHE: "off",
      LANCEDB_BACKUP_STATE: "off",
    },
    // Tests make real databases on a real disk; a slow one is no failure.
    testTimeout: nightly ? 3_600_000 : 300_000,
    hookTimeout: nightly ? 3_600_000 : 300_000,
    expect: { poll: { timeout: 120_000 } },
    reporters: ["default", "./scripts/count-reporter.ts"],
  },
});
