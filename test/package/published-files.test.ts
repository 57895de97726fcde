import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
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

test("importing the package loads few files of ours, and no package: each would cost a program's start", () => {
  const report = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    await import(${JSON.stringify(pathToFileURL(join(DIST, "index.js")).href)});
    console.log(JSON.stringify(loaded));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", report], {
    encoding: "utf8",
  });
  const loaded = (JSON.parse(stdout || "null") ?? [stderr]) as string[];
  const files = loaded.filter((url) => !url.startsWith("node:"));
  expect(files.filter((url) => !url.startsWith(pathToFileURL(DIST).href))).toEqual([]);
  expect(files.length).toBeLessThanOrEqual(3);
});
