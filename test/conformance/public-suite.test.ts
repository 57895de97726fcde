import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { storageChecks } from "../../src/storage/conformance/index.ts";

const SUITE = join(import.meta.dirname, "public-suite.ts");

/** The checks that a storage passes and fails, run by node:test. */
function runSuite(storage: string): { readonly passed: string[]; readonly failed: string[] } {
  const { stdout, stderr } = spawnSync(process.execPath, ["--test", "--test-reporter=tap", SUITE], {
    encoding: "utf8",
    env: { ...process.env, STORAGE: storage },
  });
  const lines = [...stdout.matchAll(/^ *(ok|not ok) \d+ - (\w+: .*)$/gm)];
  expect(lines.length, stdout + stderr).toBe(storageChecks.length);
  const named = (result: string) => lines.flatMap(([, said, name]) => (said === result ? [name ?? ""] : []));
  return { passed: named("ok"), failed: named("not ok") };
}

test("a storage that keeps every promise passes every check, under node:test", () => {
  expect(runSuite("MemoryStorage").failed).toEqual([]);
});

test("a writeNew that looks before it writes fails where several come at once", () => {
  expect(runSuite("LooksBeforeItWrites").failed).toEqual([
    "writeNew: of several at once, only one gets true, and its content stays",
  ]);
});

test("a listing of one page only fails where there are more", () => {
  expect(runSuite("ListsOnePage").failed).toEqual([
    "list: lists once whatever stays, while others come and go",
  ]);
});

test("a read that ends in the middle fails", () => {
  const { failed, passed } = runSuite("ReadsHalf");
  expect(failed).toContain("read: gives back every byte, of an object with none too");
  expect(failed).toContain("read: sees one content or the other while an object is written anew");
  expect(passed).toContain("list: shows nothing that is unfinished");
});

test("every check has a name of its own", () => {
  expect(new Set(storageChecks.map(({ name }) => name)).size).toBe(storageChecks.length);
});
