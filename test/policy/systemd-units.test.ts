import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { buildProgram } from "../../src/cli/program.ts";
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
      (JSON.parse(words) as string[]).filter((word) => !word.includes("node_modules")),
    ),
  ]);
  expect(calls.length).toBeGreaterThanOrEqual(5);
  for (const [name, ...words] of calls) {
    const command = program.commands.find((each) => each.name() === name);
    const known = command?.options.flatMap(({ long, short }) => [long, short]);
    for (const word of words.filter((each) => each.startsWith("-"))) expect(known).toContain(word);
  }
});
