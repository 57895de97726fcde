import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseAst } from "vitest/node";

const ROOT = join(import.meta.dirname, "../..");
const DIST = join(ROOT, "dist");

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

/** What a file imports: at its top, by `import()`, and by `export … from`. */
function importsOf(text: string): string[] {
  const found: string[] = [];
  JSON.stringify(parseAst(text), (_key, node: unknown) => {
    if (typeof node === "bigint") return String(node);
    if (typeof node !== "object" || node === null || !("source" in node)) return node;
    const { source } = node as { source?: { value?: unknown } | null };
    if (typeof source?.value === "string") found.push(source.value);
    return node;
  });
  return found;
}

test("what is published imports the packages that it names, and Node's own modules", () => {
  const { dependencies, peerDependencies } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  ) as Manifest;
  const known = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)]);
  const packageOf = (specifier: string) => specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const files = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".js"),
  );
  expect(files.length).toBeGreaterThan(10);
  const imported = new Set(files.flatMap((path) => importsOf(readFileSync(join(DIST, path), "utf8"))));
  expect(imported).toContain("node:fs");
  const strange = [...imported].filter(
    (specifier) =>
      !/^\.\.?\//.test(specifier) && !specifier.startsWith("node:") && !known.has(packageOf(specifier)),
  );
  expect(strange).toEqual([]);
  expect([...imported].filter((specifier) => builtinModules.includes(specifier))).toEqual([]);
});
