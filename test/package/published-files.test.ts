import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, normalize } from "node:path";
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

/** What `npm pack` puts into the tarball. */
function packed(): { readonly paths: ReadonlySet<string>; readonly size: number } {
  const { stdout, stderr } = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const answer = JSON.parse(stdout || JSON.stringify(stderr)) as
    | readonly Tarball[]
    | Readonly<Record<string, Tarball>>;
  const [tarball] = Object.values(answer);
  if (tarball === undefined) throw new Error(stderr);
  return { paths: new Set(tarball.files.map(({ path }) => path)), size: tarball.unpackedSize };
}

interface Tarball {
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

test("each page and image that a packed page links to is packed; the tarball does not grow unseen", () => {
  const { paths, size } = packed();
  const pages = [...paths].filter((path) => path.endsWith(".md"));
  expect(pages).toEqual(expect.arrayContaining(["README.md", "docs/runbook.md", "docs/formats.md"]));
  const lost = pages.flatMap((page) => {
    const text = readFileSync(join(ROOT, page), "utf8")
      .replaceAll(/^```[\s\S]*?^```$/gm, "")
      .replaceAll(/`[^`\n]*`/g, "");
    return [...text.matchAll(/\]\(([^()\s]+)\)/g)]
      .map(([, link = ""]) => link.replace(/#.*/, ""))
      .filter((link) => link !== "" && !/^[a-z]+:/.test(link))
      .filter((link) => !paths.has(normalize(join(dirname(page), link))))
      .map((link) => `${page}: ${link}`);
  });
  expect(lost).toEqual([]);
  expect(size).toBeLessThan(2_100_000);
});

test("each statement of what is published has a line, so that Node shows a short one of an error", () => {
  const lengths = readdirSync(join(DIST, "parts"))
    .filter((name) => name.endsWith(".js") && name !== "serve-page.js")
    .flatMap((name) => readFileSync(join(DIST, "parts", name), "utf8").split("\n"))
    .map((line) => line.length);
  const long = lengths.filter((length) => length > 300);
  expect(long.length).toBeLessThan(lengths.length / 200);
});
