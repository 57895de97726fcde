import { readFile } from "node:fs/promises";
import { createRequire, stripTypeScriptTypes } from "node:module";

/**
 * The functions of the ```ts blocks of a chapter of docs/formats.md, which readers of the formats copy. They see each
 * other, and of what lies outside only the modules of Node that a block imports by name.
 */
export async function documentedFunctions<Names extends string>(
  chapter: string,
  names: readonly Names[],
): Promise<Readonly<Record<Names, (...args: never) => unknown>>> {
  const text = await readFile(new URL("../../docs/formats.md", import.meta.url), "utf8");
  const chapters = text.split(/^(?=## )/m);
  const own = chapters.find((part) => part.startsWith(`## ${chapter}\n`)) ?? "";
  const code = [...own.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, block]) => block).join("\n");
  const imports = [...code.matchAll(/^import \{(.*)\} from "(node:.*)";$/gm)];
  const values = imports.flatMap(([, imported = "", module = ""]) => {
    const loaded = createRequire(import.meta.url)(module) as Record<string, unknown>;
    return imported.split(",").map((name) => [name.trim(), loaded[name.trim()]] as const);
  });
  const known = new Map(values);
  const body = stripTypeScriptTypes(code.replace(/^import .*$/gm, "").replace(/^export /gm, ""));
  const make = new Function(...known.keys(), `${body}\nreturn { ${names.join(", ")} };`);
  return make(...known.values());
}
