import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";

const ROOT = join(import.meta.dirname, "../..");
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
const read = (page: string) => readFileSync(join(ROOT, page), "utf8");

/** What links name, outside of code: as GitHub shows a page. */
function linksOf(text: string): string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, "").replaceAll(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^()\s]+)\)/g)].map(([, link = ""]) => link);
}

/** The names of a page's headings in addresses, as GitHub makes them. */
function anchorsOf(page: string): string[] {
  const headings = read(page)
    .replaceAll(/^```[\s\S]*?^```$/gm, "")
    .matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

test.each(pages)("each link of %s leads to a page, a heading or a file that is there", (page) => {
  const broken = linksOf(read(page)).filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : normalize(join(dirname(page), path));
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && !anchorsOf(target).includes(anchor);
  });
  expect(broken).toEqual([]);
});

test("docs/README.md leads to every page", () => {
  const linked = linksOf(read("docs/README.md")).map((link) => normalize(join("docs", link)));
  expect(pages.filter((page) => page.startsWith("docs/") && !linked.includes(page))).toEqual([
    "docs/README.md",
  ]);
});

test("docs/errors.md has each code", () => {
  const [, union = ""] = /type BackupErrorCode =([^;]*);/.exec(read("src/errors.ts")) ?? [];
  const codes = [...union.matchAll(/"(\w+)"/g)].map(([, code = ""]) => code);
  expect(codes.length).toBeGreaterThan(8);
  const headings = [...read("docs/errors.md").matchAll(/^## (\w+)$/gm)].map(([, code = ""]) => code);
  expect(headings.toSorted()).toEqual(codes.toSorted());
});

test("what docs/getting-started.md says is done as it stands there, and all is back in the end", async () => {
  const directory = await newDirectory();
  const bin = join(directory, "bin");
  mkdirSync(bin);
  // What npm would install is here already.
  const packages = join(directory, "node_modules");
  mkdirSync(packages);
  for (const name of readdirSync(join(ROOT, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(ROOT, "node_modules", name), join(packages, name));
  }
  symlinkSync(ROOT, join(packages, "lancedb-backup"));
  const command = [process.execPath, join(ROOT, "dist/cli/main.js")]
    .map((part) => JSON.stringify(part))
    .join(" ");
  writeFileSync(join(bin, "npx"), `#!/bin/sh\nshift\nexec ${command} "$@"\n`);
  chmodSync(join(bin, "npx"), 0o755);
  writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module" }));

  const env = {
    ...process.env,
    PATH: [bin, dirname(process.execPath), process.env["PATH"]].join(delimiter),
    LANCEDB_LOG: "off",
  };
  const outputs: string[] = [];
  const text = read("docs/getting-started.md");
  for (const [, before = "", language, block = ""] of text.matchAll(
    /([^\n]*)\n\n```(\w+)\n([\s\S]*?)^```$/gm,
  )) {
    if (language === "ts") {
      const [, file = ""] = /`(\w+\.ts)`:$/.exec(before) ?? [];
      writeFileSync(join(directory, file), block);
    } else if (!block.startsWith("npm ")) {
      const ran = spawnSync("sh", ["-ec", block], { cwd: directory, env, encoding: "utf8" });
      expect(ran.status, `${block}\n${ran.stderr}`).toBe(0);
      outputs.push(ran.stdout);
    }
  }
  expect(outputs[0]).toBe("100 rows are new\n100 rows\n");
  expect(outputs[2]).toMatch(/^100 rows$/m);
  expect(outputs).toHaveLength(4);
  expect(existsSync(join(directory, "looked-at/chunks.lance"))).toBe(true);
});
