import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { buildProgram } from "../../src/cli/program.ts";
import { loadPolicies } from "../../src/index.ts";
import { newDirectory } from "../support/database.ts";

const UNITS = join(import.meta.dirname, "../../examples/systemd");
const CONTAINER = join(import.meta.dirname, "../../examples/container/Containerfile");
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

test.skipIf(!hasSystemd)(
  "systemd-analyze verify finds nothing in the units (Debian package systemd)",
  async () => {
    const directory = await newDirectory();
    const names = readdirSync(UNITS);
    expect(names.length).toBeGreaterThan(3);
    // The command need not be installed.
    for (const name of names) {
      const text = readFileSync(join(UNITS, name), "utf8");
      writeFileSync(join(directory, name), text.replaceAll("/usr/bin/env lancedb-backup", process.execPath));
    }
    const paths = names.map((name) => join(directory, name));
    const ran = spawnSync("systemd-analyze", ["verify", "--man=no", ...paths], { encoding: "utf8" });
    const own = ran.stderr.split("\n").filter((line) => line.includes("lancedb-backup"));
    expect(own).toEqual([]);
    expect(ran.status).toBe(0);
  },
);

test("the units and the container call commands and options that there are", () => {
  const program = buildProgram();
  const texts = [...readdirSync(UNITS).map((name) => join(UNITS, name)), CONTAINER].map((file) =>
    readFileSync(file, "utf8"),
  );
  const calls = texts.flatMap((text) => [
    ...[...text.matchAll(/^ExecStart=\/usr\/bin\/env lancedb-backup (.*)$/gm)].map(([, words = ""]) =>
      words.split(" "),
    ),
    ...[...text.matchAll(/^ *CMD (\[.*\])$/gm)].map(([, words = ""]) =>
      (JSON.parse(words) as string[]).filter((word) => word !== "lancedb-backup"),
    ),
  ]);
  expect(calls.length).toBeGreaterThanOrEqual(5);
  for (const [name, ...words] of calls) {
    const command = program.commands.find((each) => each.name() === name);
    const known = command?.options.flatMap(({ long, short }) => [long, short]);
    for (const word of words.filter((each) => each.startsWith("-"))) expect(known).toContain(word);
  }
});

const docs = (page: string) => readFileSync(join(import.meta.dirname, "../../docs", page), "utf8");

test("docs/nightly.md shows the units, docs/docker.md the container, and the files of both load", async () => {
  const nightly = docs("nightly.md");
  for (const name of readdirSync(UNITS)) {
    const text = readFileSync(join(UNITS, name), "utf8");
    expect(nightly).toContain(`\`/etc/systemd/system/${name}\`:\n\n\`\`\`ini\n${text}\`\`\`\n`);
  }
  const [, container = "none"] = readFileSync(CONTAINER, "utf8").split(/(?=^FROM )/m);
  expect(docs("docker.md")).toContain(`\`\`\`dockerfile\n${container}\`\`\``);
  for (const page of ["nightly.md", "docker.md"]) {
    const [, yaml = ""] = /^```yaml\n([\s\S]*?)^```$/m.exec(docs(page)) ?? [];
    const file = join(await newDirectory(), "backup.yaml");
    writeFileSync(file, yaml);
    expect([...(await loadPolicies(file))].length, page).toBe(1);
  }
});

test("the commands of docs/nightly.md and docs/docker.md are ones that there are, with their options", () => {
  const program = buildProgram();
  const lines = ["nightly.md", "docker.md"].flatMap((page) =>
    [...docs(page).matchAll(/^.*lancedb-backup (policy check|run|status) (.*--config.*)$/gm)].map(
      ([, name = "", words = ""]) => ({ name, options: words.match(/--[a-z-]+/g) ?? [] }),
    ),
  );
  expect(lines.length).toBeGreaterThanOrEqual(8);
  for (const { name, options } of lines) {
    let command = program;
    for (const word of name.split(" ")) {
      command = command.commands.find((each) => each.name() === word) ?? command;
    }
    const known = command.options.map(({ long }) => long);
    for (const option of options) expect(known, `${name} ${option}`).toContain(option);
  }
});
