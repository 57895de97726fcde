import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runPlain } from "../../crash/plain.ts";
import { newDirectory } from "../../support/database.ts";

const WITHOUT_LINKS = join(import.meta.dirname, "../../conformance/without-links.ts");
const PROGRAM = join(import.meta.dirname, "seal-two.ts");

test.each([
  ["with links", []],
  ["where there are no links", ["--import", WITHOUT_LINKS]],
])("of two files that get one name at once the second is refused, %s", async (_, flags) => {
  const directory = await newDirectory();
  const path = join(directory, "file.json");
  const run = await runPlain([process.execPath, ...flags, PROGRAM, path]);
  expect(run).toMatchObject({ code: 0, stderr: "", stdout: "named 0\nValidationError\n" });
  expect(readFileSync(path, "utf8")).toBe("content 0");
  expect(readdirSync(directory)).toEqual(["file.json"]);
});
