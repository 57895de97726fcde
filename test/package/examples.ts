import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const DIST = join(import.meta.dirname, "../../dist");

/** What editors show: the declarations that are published, with their comments. */
const declarations = readdirSync(DIST, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".d.ts"))
  .map((path) => readFileSync(join(DIST, path), "utf8"))
  .join("\n");

const ENTRIES = {
  "lancedb-backup": "index",
  "lancedb-backup/s3": "storage/s3/index",
  "lancedb-backup/page": "page/index",
  "lancedb-backup/storage-conformance": "storage/conformance/index",
};

/** Classes that nobody makes, but whoever has a repository or a policy file calls. */
const HANDED_OUT = ["RepositoryKeys", "PolicySet"];

/** The comments right before the lines that begin so. */
function commentsBefore(text: string, declaration: string): string[] {
  return [...text.matchAll(new RegExp(`^${declaration}`, "gm"))].map(({ index }) => {
    const before = text.slice(0, index).trimEnd();
    return before.endsWith("*/") ? before.slice(before.lastIndexOf("/**")) : "";
  });
}

/** Functions, classes and methods that the package's users call: those of them that have no example. */
export async function withoutExample(): Promise<{ all: number; bare: string[] }> {
  const bare: string[] = [];
  let all = 0;
  const look = (name: string, comments: readonly string[]) => {
    all++;
    if (!comments.some((comment) => comment.includes("@example"))) bare.push(name);
  };
  for (const name of new Set([...(await exportedFunctions()), ...HANDED_OUT])) {
    const [, body] =
      new RegExp(`^.*\\bclass ${name}\\b.*\\{\\n([\\s\\S]*?)^\\}`, "m").exec(declarations) ?? [];
    if (body === undefined)
      look(name, commentsBefore(declarations, `(?:export )?declare function ${name}\\b`));
    const methods = [...(body ?? "").matchAll(/^ {2}(?:static |abstract )*(\w+)(?:<[^\n(]*>)?\(/gm)];
    for (const method of new Set(methods.map(([, called = ""]) => called))) {
      // What a contract asks is told there.
      if (method === "constructor" || (name === "S3Storage" && method !== "open")) continue;
      look(`${name}.${method}`, commentsBefore(body ?? "", ` {2}(?:static |abstract )*${method}\\b`));
    }
  }
  return { all, bare };
}

async function exportedFunctions(): Promise<string[]> {
  const modules = await Promise.all(
    Object.values(ENTRIES).map(async (entry) => (await import(join(DIST, `${entry}.js`))) as object),
  );
  return modules.flatMap((module) =>
    Object.entries(module).flatMap(([name, value]) => (typeof value === "function" ? [name] : [])),
  );
}

/** What examples use without saying where it is from. */
const GIVEN: Readonly<Record<string, string>> = {
  Index: 'import { Index } from "@lancedb/lancedb";',
  readFileSync: 'import { readFileSync } from "node:fs";',
  SftpStorage: 'declare const SftpStorage: new (place: string) => import("lancedb-backup").Storage;',
  WikiSource: 'declare const WikiSource: new (url: string) => import("lancedb-backup").Source;',
  emptyDirectory: "declare function emptyDirectory(): Promise<string>;",
  chunks: "declare const chunks: Record<string, unknown>[];",
  content: 'declare const content: import("lancedb-backup").Content;',
  db: 'declare const db: import("@lancedb/lancedb").Connection;',
  dumps: 'declare const dumps: import("lancedb-backup").DatabaseBackup;',
  file: 'declare const file: import("node:fs/promises").FileHandle;',
  id: "declare const id: string;",
  manager: 'declare const manager: import("lancedb-backup").BackupManager;',
  periodic: 'declare const periodic: import("lancedb-backup").PeriodicBackupManager;',
  policies: 'declare const policies: import("lancedb-backup").PolicySet;',
  repository: 'declare const repository: import("lancedb-backup").Repository;',
  secret: "declare const secret: string;",
  service: 'declare const service: import("lancedb-backup").BackupService;',
  signal: "declare const signal: AbortSignal;",
  storage: 'declare const storage: import("lancedb-backup").Storage;',
  table: 'declare const table: import("@lancedb/lancedb").Table;',
  typed: "declare const typed: string;",
};

/** Every example, as a program that imports what it uses. */
export async function examples(): Promise<{ title: string; file: string; text: string }[]> {
  const names = new Map<string, string>();
  for (const [specifier, entry] of Object.entries(ENTRIES)) {
    const module = (await import(join(DIST, `${entry}.js`))) as object;
    for (const name of Object.keys(module)) if (!names.has(name)) names.set(name, specifier);
  }
  const blocks = declarations.matchAll(/@example\n *\* ```ts\n([\s\S]*?)\n *\* ```/g);
  return [...blocks].map(([, block = ""], index) => {
    const text = block.replaceAll(/^ *\* ?/gm, "");
    const uses = (name: string) => new RegExp(`(?<![.\\w"/])${name}\\b(?!["'/:-])`).test(text);
    const declares = (name: string) =>
      new RegExp(`\\b(?:const|using|import)\\s+(?:\\{[^}]*\\b${name}\\b|${name}\\b)`).test(text);
    const imports = [...names]
      .filter(([name]) => uses(name) && !declares(name))
      .map(([name, specifier]) => `import { ${name} } from "${specifier}";`);
    const given = Object.entries(GIVEN).flatMap(([name, line]) =>
      uses(name) && !declares(name) ? [line] : [],
    );
    return {
      title: `example ${index}`,
      file: `example-${index}.ts`,
      text: [...imports, ...given, text].join("\n"),
    };
  });
}
