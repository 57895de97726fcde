import { glob, readdir, readFile } from "node:fs/promises";
import { join, posix, relative, sep } from "node:path";
import { describe, expect, test } from "vitest";
import { importedModules } from "./import-rule.ts";

const floors = new Map<string, number>();
const src = join(import.meta.dirname, "../../src");
const files = (await readdir(src, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
  .map((entry) => relative(src, join(entry.parentPath, entry.name)).split(sep).join("/"));

/** What each file imports of src/, types included. */
async function importsOf(later: boolean): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = files.map(async (path) => {
    const modules = importedModules(await readFile(join(src, path), "utf8"), path, later);
    const own = modules.filter((module) => module.startsWith("."));
    return [path, own.map((module) => posix.join(posix.dirname(path), module))] as const;
  });
  return new Map(await Promise.all(found));
}

const imports = await importsOf(true);
/** Without what is loaded when it is first needed: that is a door, behind which one need not look. */
const importsAtOnce = await importsOf(false);

/** Circles that are still there, by what they go through; none may be added. */
const CIRCLES: readonly string[] = [
  "arrow/encode/encode-column.ts, arrow/encode/lists.ts, arrow/encode/structs.ts",
];

/** Most floors of imports in a room, where they are more than eight; none may become more. */
const FLOORS: Readonly<Record<string, number>> = {
  engine: 13,
  policy: 10,
};

/** Here the name goes along with an error to another process. */
const CARRIED: readonly string[] = ["sources/sqlite/sqlite-failure.ts"];

/** Generated code. */
const SMALL: readonly string[] = ["lance/proto"];

const tests = join(import.meta.dirname, "..");

test("no test has a limit of time below the suite's: beside other load it would fail, and be right in nothing", async () => {
  const LIMITED = [
    /^ *\}, [\d_]{4,}\);$/m,
    /\btest(\.\w+)*\([^{]*\{\s*timeout:/,
    /\.poll\((?:(?!\n\n)[^;])*timeout:/,
    /vi\.wait(For|Until)\(/,
  ];
  const found: string[] = [];
  for await (const path of glob("**/*.test.ts", { cwd: tests })) {
    const text = await readFile(join(tests, path), "utf8");
    if (LIMITED.some((pattern) => pattern.test(text))) found.push(path);
  }
  expect(found).toEqual([]);
});

describe("the files of src/", () => {
  test("have names that are unique in the tree; index.ts is what a path of the package leads to", () => {
    const names = Map.groupBy(files, (path) => posix.basename(path));
    const doubles = [...names].filter(([name, paths]) => name !== "index.ts" && paths.length > 1);
    expect(doubles).toEqual([]);
  });

  test("do not import each other in a circle, types included", () => {
    expect(circles().filter((circle) => !CIRCLES.includes(circle))).toEqual([]);
  });

  test("lie in folders of three at least", () => {
    const folders = Map.groupBy(files, (path) => posix.dirname(path));
    const small = [...folders].filter(([, inside]) => inside.length < 3).map(([folder]) => folder);
    expect(small.filter((folder) => !SMALL.includes(folder))).toEqual([]);
  });

  test("go by classes of errors above the storage, and not by the system's names for them", async () => {
    const above = /^(engine|sources|repository|rows|policy|page|doctor|cli)\//;
    const NAMED = /\berrnoOf\(|\berrno\)? *[!=]==|[!=]== *"E[A-Z]{3,}"|new Set\(\["E[A-Z]{3,}"/;
    const texts = files
      .filter((path) => above.test(path))
      .map(async (path) => ({ path, text: await readFile(join(src, path), "utf8") }));
    const found = (await Promise.all(texts)).filter(({ text }) => NAMED.test(text)).map(({ path }) => path);
    expect(found).toEqual(CARRIED);
  });

  test("have eight floors of imports at most inside a room; guard/write is a room of its own", () => {
    const heights = new Map<string, number>();
    for (const path of files) {
      const room = roomOf(path);
      heights.set(room, Math.max(heights.get(room) ?? 0, floorOf(path)));
    }
    expect([...heights].filter(([room, floors]) => floors > (FLOORS[room] ?? 8))).toEqual([]);
  });
});

function roomOf(path: string): string {
  return path.startsWith("guard/write/") ? "guard/write" : path.split("/", 1).join();
}

/** How many files of its room lie below a file, one on the other, itself included. */
function floorOf(path: string, above: ReadonlySet<string> = new Set()): number {
  if (above.has(path)) return 0;
  const below = (importsAtOnce.get(path) ?? []).filter(
    (other) => imports.has(other) && roomOf(other) === roomOf(path),
  );
  const seen = new Set([...above, path]);
  const known = floors.get(path);
  if (known !== undefined) return known;
  const floor = 1 + Math.max(0, ...below.map((other) => floorOf(other, seen)));
  floors.set(path, floor);
  return floor;
}

/** Sets of files that reach each other, each as its paths in order. */
function circles(): string[] {
  const reached = new Map(files.map((path) => [path, reach(path)]));
  const found = files.flatMap((path) => {
    if (!reached.get(path)?.has(path)) return [];
    const around = files.filter((other) => reached.get(path)?.has(other) && reached.get(other)?.has(path));
    return around.sort().join(", ");
  });
  return [...new Set(found)].sort();
}

/** All that a file imports, and what that imports, to the end. */
function reach(path: string): Set<string> {
  const found = new Set<string>();
  const left = [...(imports.get(path) ?? [])];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (found.has(next)) continue;
    found.add(next);
    left.push(...(imports.get(next) ?? []));
  }
  return found;
}
