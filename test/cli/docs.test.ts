import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CLI_DOCS, renderCliDocs } from "../../scripts/cli-docs.ts";

test("docs/cli.md is what the command's help says: npm run docs:cli writes it", () => {
  expect(readFileSync(CLI_DOCS, "utf8")).toBe(renderCliDocs());
});
