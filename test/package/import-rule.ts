import { posix } from "node:path";
import { parseAst } from "vitest/node";

/** The rooms of src/, from the top down (docs/design.md). Rooms on one level do not know each other. */
const levels: readonly (readonly string[])[] = [
  ["index.ts"],
  ["cli"],
  ["doctor"],
  ["page"],
  ["policy", "rows"],
  ["guard", "periodic", "repository", "dumps"],
  ["sources"],
  ["engine"],
  ["storage"],
  ["lance"],
  ["arrow"],
  ["fs"],
  ["html"],
  ["util"],
  ["checks.ts"],
  ["errors.ts", "logger.ts"],
  ["hint.ts"],
  ["require-here.ts", "thrown.ts"],
];

const packageName = "lancedb-backup";

/**
 * The imports that go upwards or sideways, one sentence each; empty where the rule holds.
 *
 * @param files the text of every file of src/, by its path in src/ ("guard/journal.ts")
 */
export function importRuleViolations(files: Readonly<Record<string, string>>): string[] {
  return Object.entries(files).flatMap(([path, text]) => {
    if (levelOf(path) === undefined) {
      return [`${path} lies in no room of docs/design.md: ${levels.flat().join(", ")}`];
    }
    return importedModules(text, path).flatMap((specifier) => {
      const reason = whyForbidden(path, specifier);
      return reason === undefined ? [] : [`${path} imports ${specifier}: ${reason}`];
    });
  });
}

function whyForbidden(importer: string, specifier: string): string | undefined {
  if (specifier === packageName || specifier.startsWith(`${packageName}/`)) return "that is index.ts";
  if (roomOf(importer) === "engine" && specifier.startsWith("@lancedb/")) return "the engine knows no Lance";
  if (roomOf(importer) === "engine" && /^(node:)?fs(\/|$)/.test(specifier))
    return "what is local, the engine asks of a storage or of fs/";
  if (!specifier.startsWith(".")) return undefined;
  const imported = posix.join(posix.dirname(importer), specifier);
  if (imported.startsWith("..")) return "it lies outside src/";
  if (roomOf(imported) === "index.ts") return "nothing imports index.ts";
  if (roomOf(importer) === "engine" && roomOf(imported) === "lance") return "the engine knows no Lance";
  if (roomOf(imported) === roomOf(importer)) return undefined;
  const from = levelOf(importer);
  const to = levelOf(imported);
  if (from === undefined || to === undefined) return "it lies in no room of docs/design.md";
  if (to > from) return undefined;
  return to === from ? "the two rooms do not know each other" : "imports run downwards only";
}

/** The first part of a path: "guard" of "guard/journal.ts", and "errors.ts" of itself. */
const roomOf = (path: string) => path.split("/", 1).join();

function levelOf(path: string): number | undefined {
  const level = levels.findIndex((rooms) => rooms.includes(roomOf(path)));
  return level === -1 ? undefined : level;
}

/**
 * What a module names in import and export statements, in `import()` and in types, in this order of appearance.
 *
 * @param later whether that counts too which is loaded when it is first needed
 */
export function importedModules(text: string, path: string, later = true): string[] {
  const found: string[] = [];
  visit(parseAst(text, { lang: "ts" }, path), (node) => {
    if (
      ![
        "ImportDeclaration",
        "ExportNamedDeclaration",
        "ExportAllDeclaration",
        ...(later ? ["ImportExpression"] : []),
        "TSImportType",
      ].includes(node.type)
    )
      return;
    if (isNode(node["source"]) && typeof node["source"]["value"] === "string")
      found.push(node["source"]["value"]);
  });
  return found;
}

type SyntaxNode = { readonly type: string; readonly [field: string]: unknown };

const isNode = (value: unknown): value is SyntaxNode =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";

function visit(value: unknown, onNode: (node: SyntaxNode) => void): void {
  if (typeof value !== "object" || value === null) return;
  if (isNode(value)) onNode(value);
  for (const child of Object.values(value)) visit(child, onNode);
}
