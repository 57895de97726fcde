import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const SRC = join(import.meta.dirname, "../../src");
const IMPORT =
  /import\s+(?:type\s+)?\{([^}]*)\}\s+from\s+"(?:\.\.\/)+((?:guard|doctor|repository|lance|fs|storage|sources|periodic)\/[^"]+|errors\.ts|logger\.ts)"/g;
const DYNAMIC = /\{([^{}]*)\}\s*=\s*await import\("(?:\.\.\/)+((?:guard|doctor|repository)\/[^"]+)"\)/g;

/** What an error is, what an address, and how falls are told: no part of a repository's or a manager's work. */
const WORDS = new Set([
  ...[
    "isError",
    "isFull",
    "isMissing",
    "isNotRead",
    "isNotWritable",
    "isOfSystem",
    "isReadOnly",
    "isRefused",
  ],
  ...["reasonOf", "toIoError", "schemeOf", "fallShown", "fallsAmong"],
]);

test("the command uses what every user of the package can use, and nothing else", () => {
  const entries = ["index.ts", "repository/index.ts", "errors.ts", "logger.ts"];
  const exported = new Set(
    entries.flatMap((entry) =>
      [...readFileSync(join(SRC, entry), "utf8").matchAll(/\b[A-Za-z]\w*/g)].map(String),
    ),
  );
  const used = readdirSync(join(SRC, "cli"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .flatMap((path) => {
      const text = readFileSync(join(SRC, "cli", path), "utf8");
      return [...text.matchAll(IMPORT), ...text.matchAll(DYNAMIC)].flatMap(([, names = ""]) =>
        names
          .split(",")
          .map((name) => name.replace(/\btype\b/, "").trim())
          .filter(Boolean)
          .map((name) => ({ path, name })),
      );
    });
  expect(used.length).toBeGreaterThan(20);
  expect(used.filter(({ name }) => !exported.has(name) && !WORDS.has(name))).toEqual([]);
});
