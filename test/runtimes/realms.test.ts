import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createContext, runInContext } from "node:vm";
import { expect, test } from "vitest";
import { errnoOf, isError, isMissing, reasonOf } from "../../src/fs/io.ts";

const src = join(import.meta.dirname, "../../src");

/** What the language brings exists once in each realm; `isError` and `types` of `node:util` know those of all. */
const BUILT_IN =
  /instanceof (?:Error|RangeError|TypeError|Date|Map|Set|RegExp|Promise|URL|AbortSignal|ArrayBuffer|DataView|Buffer|\w+(?:8|16|32|64)Array)\b/;

test("no code asks by instanceof for what may come from another realm", () => {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".ts"),
  );
  const found = files.flatMap((path) => {
    const lines = readFileSync(join(src, path), "utf8").split("\n");
    return lines.filter((line) => BUILT_IN.test(line)).map((line) => `${path}: ${line.trim()}`);
  });
  expect(found.filter((line) => !line.startsWith("thrown.ts:"))).toEqual([]);
});

test("an error of another realm is known, with its name and its words", () => {
  const error: unknown = runInContext(
    'Object.assign(new Error("gone"), { code: "ENOENT" })',
    createContext(),
  );
  expect(error instanceof Error).toBe(false);
  expect([isError(error), errnoOf(error), isMissing(error), reasonOf(error)]).toEqual([
    true,
    "ENOENT",
    true,
    "gone",
  ]);
});
