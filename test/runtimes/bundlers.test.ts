import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";
import { installed, newApplication, run } from "./application.ts";

let application: string;
let expected: object;
beforeAll(async () => {
  application = newApplication();
  ({ EXPECTED: expected } = await import(join(application, "round-trip.mjs")));
});
afterAll(() => rmSync(application, { recursive: true, force: true }));

/** What no bundler can pack: a native module, and what it has to share with it. */
const BESIDE = ["@lancedb/lancedb", "apache-arrow"];

/** Where a bundle is moved to, with nothing beside it but what it cannot have inside. */
async function deployed(): Promise<string> {
  const directory = await newDirectory();
  for (const name of BESIDE) {
    const at = join(directory, "node_modules", name);
    mkdirSync(dirname(at), { recursive: true });
    symlinkSync(join(import.meta.dirname, "../../node_modules", name), at);
  }
  mkdirSync(join(directory, "data"));
  return directory;
}

/** A program that packs `bundled.mjs` into `out`, with the packages that it needs. */
interface Bundler {
  readonly packages: Readonly<Record<string, string>>;
  /** @param at where each package lies */
  readonly program: (at: (name: string) => string, out: string) => string;
}

const LIST = JSON.stringify(BESIDE);

const esbuild = (format: "esm" | "cjs"): Bundler => ({
  packages: { esbuild: "0.28.2" },
  // An ES module into which CommonJS is packed needs `require`: https://esbuild.github.io/content-types/#commonjs
  program: (at, out) => `
    import { build } from "${at("esbuild")}/lib/main.js";
    const js = ${format === "esm"} ? 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' : "";
    await build({
      entryPoints: ["bundled.mjs"], bundle: true, platform: "node", target: "node22", format: "${format}",
      outfile: "${out}", logLevel: "error", banner: { js }, external: ${LIST},
      logOverride: { "empty-import-meta": "silent" },
    });`,
});

const rollup: Bundler = {
  packages: {
    rollup: "4.68.8",
    "@rollup/plugin-node-resolve": "16.0.3",
    "@rollup/plugin-commonjs": "29.0.3",
    "@rollup/plugin-json": "6.1.0",
  },
  program: (at, out) => `
    import { rollup } from "${at("rollup")}/dist/es/rollup.js";
    import resolve from "${at("@rollup/plugin-node-resolve")}/dist/es/index.js";
    import commonjs from "${at("@rollup/plugin-commonjs")}/dist/es/index.js";
    import json from "${at("@rollup/plugin-json")}/dist/es/index.js";
    const external = (id) => ${LIST}.some((name) => id === name || id.startsWith(name + "/"));
    const plugins = [resolve({ preferBuiltins: true }), commonjs(), json()];
    const bundle = await rollup({ input: "bundled.mjs", external, plugins, onwarn() {} });
    await bundle.write({ file: "${out}", format: "esm", inlineDynamicImports: true });`,
};

/** As Next.js packs what a server renders by: CommonJS, with native packages outside. */
const webpack: Bundler = {
  packages: { webpack: "5.113.0" },
  program: (at, out) => `
    import { createRequire } from "node:module";
    import { basename, dirname } from "node:path";
    const webpack = createRequire(import.meta.url)("${at("webpack")}");
    const external = ({ request }, done) =>
      ${LIST}.some((name) => request === name || request.startsWith(name + "/")) ? done(null, "commonjs " + request) : done();
    const compiler = webpack({
      mode: "production", target: "node22", entry: "./bundled.mjs", devtool: false,
      output: { path: dirname("${out}"), filename: basename("${out}"), library: { type: "commonjs2" } },
      externals: [external], optimization: { minimize: false },
    });
    const stats = await new Promise((resolve, reject) => compiler.run((error, stats) => (error ? reject(error) : resolve(stats))));
    if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }));`,
};

/** The others meet what these meet; they are tried at night. */
const SAMPLE = ["esbuild, CommonJS", "webpack, as Next.js packs for its server"];
const nightly = process.env["NIGHTLY"] === "1";

test.each(
  (
    [
      ["esbuild, ES module", esbuild("esm"), "program.mjs"],
      ["esbuild, CommonJS", esbuild("cjs"), "program.cjs"],
      ["rollup", rollup, "program.mjs"],
      ["webpack, as Next.js packs for its server", webpack, "program.cjs"],
    ] as const
  ).filter(([name]) => nightly || SAMPLE.includes(name)),
)(
  "%s: guard, periodic files, repositories, SQLite and threads work in the bundle",
  async (name, bundler, file) => {
    const at = new Map<string, string>();
    for (const [name, version] of Object.entries(bundler.packages)) {
      const place = installed(name, version);
      if (place === undefined) return;
      at.set(name, place);
    }
    const directory = await deployed();
    const pack = `pack-${name.replaceAll(/\W/g, "")}.mjs`;
    writeFileSync(
      join(application, pack),
      bundler.program((name) => at.get(name) ?? name, join(directory, file)),
    );
    const packed = run(process.execPath, [pack], { cwd: application });
    expect(packed, packed.stderr).toMatchObject({ status: 0 });
    const { stdout, stderr } = run(process.execPath, [file, join(directory, "data")], { cwd: directory });
    expect(stdout, stderr).toMatch(/^\{.*\}\n$/);
    const known = ["lancedb-backup ok", "Node.js ok", "@lancedb/lancedb ok", "apache-arrow ok"];
    expect(JSON.parse(stdout)).toEqual({
      ...expected,
      ids: [7, 8],
      equal: true,
      known: expect.arrayContaining(known),
    });
  },
);
