import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** A program of the README: what a reader copies. */
export interface Snippet {
  /** The heading above it, and which one it is there. */
  readonly title: string;
  readonly file: string;
  readonly text: string;
}

/** Every block of a page, by default of the README, that is marked as TypeScript, in order. */
export function snippetsOf(page = "README.md", prefix = "snippet"): Snippet[] {
  const readme = readFileSync(join(ROOT, page), "utf8");
  const snippets: Snippet[] = [];
  let heading = "";
  let lines: string[] | undefined;
  for (const line of readme.split("\n")) {
    if (lines && line === "```") {
      const number = snippets.length + 1;
      snippets.push({
        title: `${number}: ${heading}`,
        file: `${prefix}-${number}.ts`,
        text: lines.join("\n"),
      });
      lines = undefined;
    } else if (lines) lines.push(line);
    else if (line === "```ts") lines = [];
    else heading = /^#+ (.*)/.exec(line)?.[1] ?? heading;
  }
  return snippets;
}

/**
 * Lays the snippets out as a project of a user's, each a file. They import the package by its name; here that
 * name is the source.
 */
export function makeProject(directory: string, snippets: readonly Snippet[]): void {
  const source = join(ROOT, "src/index.ts");
  symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"), "junction");
  writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module" }));
  const paths = {
    "lancedb-backup": [source],
    "lancedb-backup/s3": [join(ROOT, "src/storage/s3/index.ts")],
    "lancedb-backup/repository": [join(ROOT, "src/repository/index.ts")],
    "lancedb-backup/page": [join(ROOT, "src/page/index.ts")],
    "lancedb-backup/storage-conformance": [join(ROOT, "src/storage/conformance/index.ts")],
  };
  const compilerOptions = { paths, typeRoots: ["node_modules/@types"] };
  writeFileSync(
    join(directory, "tsconfig.json"),
    JSON.stringify({ extends: join(ROOT, "tsconfig.json"), compilerOptions, include: ["*.ts"] }),
  );
  mkdirSync(join(directory, "run"));
  for (const { file, text } of snippets) {
    writeFileSync(join(directory, file), `${text}\nexport {};\n`);
    writeFileSync(join(directory, "run", file), text.replaceAll('"lancedb-backup"', JSON.stringify(source)));
  }
}
