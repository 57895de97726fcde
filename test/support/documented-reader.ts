import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "vitest";

export interface DocumentedReader {
  readSnapshot(
    repository: string,
    id: string,
    secret?: string | Buffer,
  ): {
    source: { type: string; uri: string };
    files: Map<string, Buffer>;
    xattrs: Map<string, Record<string, string>>;
  }[];
  readAudit(
    repository: string,
    secret?: string | Buffer,
  ): { number: number; operation: string; details: Record<string, unknown> }[];
  verifiedAt(repository: string, blob: string, secret?: string | Buffer): string | undefined;
  readLabels(
    repository: string,
    id: string,
    secret?: string | Buffer,
  ): { number: number; tags: string[]; pinned?: { since: string; reason?: string } } | undefined;
}

/** The reader that docs/formats.md prints, as it stands there. */
export async function readerOfTheDocs(directory: string): Promise<DocumentedReader> {
  const docs = readFileSync(join(import.meta.dirname, "../../docs/formats.md"), "utf8");
  const repository = docs.slice(docs.indexOf("\n## Repository\n"));
  const blocks = [...repository.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""]) => code);
  expect(blocks.length).toBeGreaterThan(0);
  const imports = new Set(blocks.flatMap((code) => code.match(/^import .*$/gm) ?? []));
  const rest = blocks.map((code) => code.replace(/^import .*$/gm, "").replace(/^export /gm, ""));
  const file = join(directory, "reader.ts");
  writeFileSync(
    file,
    [...mergeImports(imports), ...rest, "export { readAudit, readLabels, readSnapshot, verifiedAt };"].join(
      "\n",
    ),
  );
  return (await import(pathToFileURL(file).href)) as DocumentedReader;
}

/** One import a module, each name once. */
function mergeImports(lines: ReadonlySet<string>): string[] {
  const names = new Map<string, Set<string>>();
  for (const line of lines) {
    const [, list = "", from = ""] = /^import \{(.*)\} from "(.*)";$/.exec(line) ?? [];
    const known = names.get(from) ?? new Set();
    for (const name of list.split(",")) known.add(name.trim());
    names.set(from, known);
  }
  return [...names].map(([from, list]) => `import { ${[...list].join(", ")} } from "${from}";`);
}
