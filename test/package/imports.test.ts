import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { describe, expect, test } from "vitest";
import { importRuleViolations } from "./import-rule.ts";

const src = join(import.meta.dirname, "../../src");

describe("imports in src/ run downwards only", () => {
  test("in every file of src/", async () => {
    const files = await sourceFiles();
    expect(Object.keys(files)).toContain("errors.ts");
    expect(importRuleViolations(files)).toEqual([]);
  });

  test.each([
    ["a lower room", "guard/manager.ts", `import { link } from "../fs/link.ts";`],
    ["a much lower file", "cli/main.ts", `import { IoError } from "../errors.ts";`],
    ["the same room", "lance/manifest.ts", `import { x } from "./proto/table_pb.ts";`],
    [
      "the same room, from a folder in it",
      "guard/strategies/copy.ts",
      `import type { J } from "../journal.ts";`,
    ],
    ["Node and packages", "errors.ts", `import fs from "node:fs"; import winston from "winston";`],
    [
      "everything, from index.ts",
      "index.ts",
      `export * from "./guard/manager.ts"; export * from "./errors.ts";`,
    ],
    [
      "words in a comment or a string",
      "fs/a.ts",
      `// import "../guard/b.ts"\nexport const s = 'import "../guard/b.ts"';`,
    ],
  ])("allowed: %s", (_what, path, text) => {
    expect(importRuleViolations({ [path]: text })).toEqual([]);
  });

  test.each([
    ["a higher room", "lance/manifest.ts", `import { a } from "../guard/journal.ts";`],
    ["a type only", "fs/link.ts", `import type { Manifest } from "../lance/manifest.ts";`],
    ["over several lines", "fs/link.ts", `import {\n  a,\n  b, // it's here\n} from "../lance/manifest.ts";`],
    ["a re-export", "lance/a.ts", `export { a } from "../storage/b.ts";`],
    ["a re-export of all", "lance/a.ts", `export * from "../storage/b.ts";`],
    ["for the side effect", "errors.ts", `import "./fs/a.ts";`],
    ["at run time", "guard/a.ts", `export const load = async () => (await import("../cli/main.ts")).main;`],
    ["inside a type", "fs/a.ts", `export type M = import("../lance/manifest.ts").Manifest;`],
    ["a room beside it", "guard/a.ts", `import { b } from "../periodic/b.ts";`],
    ["the sources, from the engine", "engine/a.ts", `import { b } from "../sources/b.ts";`],
    ["Lance, from the engine", "engine/a.ts", `import { b } from "../lance/b.ts";`],
    ["LanceDB, from the engine", "engine/a.ts", `import { connect } from "@lancedb/lancedb";`],
    ["the file system, from the engine", "engine/a.ts", `import { readFileSync } from "node:fs";`],
    ["its promises, from the engine", "engine/x/a.ts", `import { open } from "node:fs/promises";`],
    ["the engine, from a storage", "storage/a.ts", `import { b } from "../engine/b.ts";`],
    ["index.ts", "cli/main.ts", `import { BackupManager } from "../index.ts";`],
    ["index.ts by the package's name", "cli/main.ts", `import { BackupManager } from "lancedb-backup";`],
    ["outside src/", "fs/a.ts", `import manifest from "../../package.json";`],
  ])("forbidden: %s", (_what, path, text) => {
    expect(importRuleViolations({ [path]: text })).toEqual([expect.stringContaining(`${path} imports `)]);
  });

  test("forbidden: a file or a room that the design does not name", () => {
    expect(importRuleViolations({ "misc/misc.ts": "", "helpers.ts": "" })).toEqual([
      expect.stringContaining("misc/misc.ts lies in no room"),
      expect.stringContaining("helpers.ts lies in no room"),
    ]);
  });
});

async function sourceFiles(): Promise<Record<string, string>> {
  const entries = await readdir(src, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name));
  const files = paths.map(async (path) => [
    relative(src, path).split(sep).join("/"),
    await readFile(path, "utf8"),
  ]);
  return Object.fromEntries(await Promise.all(files));
}
