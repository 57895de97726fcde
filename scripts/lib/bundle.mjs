// Packs src/ into the files that are published: node scripts/lib/bundle.mjs <directory of tsc's declarations> <dist>.
// What importing the package loads lies in one file, since Node takes half a millisecond for each; what is loaded when it
// is needed lies in others. Types are gathered likewise, without those that nobody outside can name.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";
import { breakLines } from "./break-lines.mjs";
import { inProject } from "./project.mjs";

const [declarations = "", dist = ""] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(inProject("package.json"), "utf8"));
const MAIN = "index";
const FACTS = inProject("src/util/build-facts.ts");
const CLIENT_FILES = inProject("src/page/client-files.ts");

/** Packed along: much of it is for schemas that are read at run time, and shaking it leaves a third. */
const PACKED = ["@bufbuild/protobuf"];

const isPacked = (id) => PACKED.some((name) => id === name || id.startsWith(`${name}/`));
const isExternal = (id) =>
  id.startsWith("node:") || (/^[^./\0]/.test(id) && !/^[A-Za-z]:/.test(id) && !isPacked(id));

/** Names stay as they are written, for whoever reads a stack; so does a line for each statement (`breakLines`). */
const SMALL = {
  compress: { keepNames: { function: true, class: true } },
  mangle: { toplevel: true, keepNames: { function: true, class: true } },
  codegen: { removeWhitespace: true },
};

/** "repository/index" for "./dist/repository/index.js". */
const entryOf = (path) => /^\.\/dist\/(.*)\.js$/.exec(path)?.[1];
const exported = Object.values(manifest.exports)
  .map((target) => entryOf(target.default ?? ""))
  .filter((name) => name !== undefined);
const programs = Object.values(manifest.bin).map(entryOf);

/** A program of ours as one text, for a thread or a process that has no file of ours. */
async function codeOf(path) {
  const build = await rolldown({ ...common(), input: inProject(path) });
  const { output } = await build.generate({
    format: "cjs",
    minify: SMALL,
    codeSplitting: false,
    exports: "none",
  });
  return breakLines(output[0].code);
}

const lines = {
  name: "lines",
  generateBundle: (_options, bundle) => {
    for (const chunk of Object.values(bundle)) {
      if (chunk.type === "chunk") chunk.code = breakLines(chunk.code);
    }
  },
};

function common(plugins = []) {
  return {
    cwd: inProject("."),
    platform: "node",
    external: isExternal,
    plugins,
    logLevel: "warn",
    checks: { ineffectiveDynamicImport: false },
  };
}

/** What the sources read from files is constant here. */
function facts(threads) {
  const { version, engines, peerDependencies, peerDependenciesMeta } = manifest;
  const constants = { manifest: { version, engines, peerDependencies, peerDependenciesMeta }, ...threads };
  return {
    name: "facts",
    load: async (id) => {
      if (id === FACTS) return constantsIn(constants);
      // What it reads from files now.
      return id === CLIENT_FILES ? constantsIn(await import(CLIENT_FILES)) : undefined;
    },
  };
}

function constantsIn(values) {
  const lines = Object.entries(values).map(
    ([name, value]) => `export const ${name} = ${JSON.stringify(value)};`,
  );
  return { code: lines.join("\n"), moduleType: "js" };
}

async function code() {
  const threads = {
    filesThread: { code: await codeOf("src/fs/workers/worker.ts") },
    codecThread: { code: await codeOf("src/engine/codec/codec-worker.ts") },
    sqliteProgram: { code: await codeOf("src/sources/sqlite/sqlite-worker.ts") },
  };
  const imports = new Map();
  const gather = { name: "gather", moduleParsed: ({ id, importedIds }) => void imports.set(id, importedIds) };
  const input = Object.fromEntries(
    [...exported, ...programs].map((name) => [name, inProject(`src/${name}.ts`)]),
  );
  const build = await rolldown({ ...common([facts(threads), gather, lines]), input });
  await build.generate({ format: "esm" }); // so that all imports are known
  const atOnce = new Set();
  const visit = (id) => {
    if (atOnce.has(id) || !imports.has(id)) return;
    atOnce.add(id);
    imports.get(id).forEach(visit);
  };
  visit(input[MAIN]);
  await build.write({
    dir: dist,
    format: "esm",
    minify: SMALL,
    comments: false,
    chunkFileNames: "parts/[name].js",
    codeSplitting: { groups: [{ name: "core", test: (id) => atOnce.has(id) }] },
  });
  return imports.keys();
}

async function types() {
  const build = await rolldown({
    cwd: declarations,
    input: Object.fromEntries(exported.map((name) => [name, join(declarations, `${name}.d.ts`)])),
    external: (id) => /^[^./]/.test(id),
    plugins: [dts({ dtsOnly: true, generator: "oxc" })],
    logLevel: "warn",
  });
  await build.write({ dir: dist, format: "esm", chunkFileNames: "parts/[name].d.ts" });
}

/** The notices at the heads of the files that are packed along. */
function notices(paths) {
  const heads = [...paths]
    .filter((path) => path.includes("node_modules"))
    .map((path) => {
      const lines = readFileSync(path, "utf8").split("\n");
      return lines
        .slice(
          0,
          lines.findIndex((line) => !line.startsWith("//")),
        )
        .join("\n");
    });
  return [...new Set(heads)].filter((head) => /copyright/i.test(head)).join("\n\n");
}

const [modules] = await Promise.all([code(), types()]);
writeFileSync(
  join(dist, "THIRD-PARTY.txt"),
  `${PACKED.join(", ")} is packed into these files.\n\n${notices(modules)}\n`,
);
