import type { Reporter, SerializedError, TestModule } from "vitest/node";

/**
 * Ends the output of a test run with one line that a script can read: `12 passed, 0 failed`. Skipped tests, if any,
 * are counted in a line before it.
 *
 * What keeps tests from running (a file that does not load, an error outside of any test) counts as failed too.
 */
export default class CountReporter implements Reporter {
  onTestRunEnd(testModules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const testModule of testModules) {
      count.failed += testModule.errors().length;
      for (const suite of testModule.children.allSuites()) count.failed += suite.errors().length;
      for (const test of testModule.children.allTests()) {
        const { state } = test.result();
        count[state === "pending" ? "skipped" : state] += 1;
      }
    }
    if (count.skipped > 0) process.stdout.write(`${count.skipped} skipped\n`);
    process.stdout.write(`${count.passed} passed, ${count.failed} failed\n`);
  }
}
