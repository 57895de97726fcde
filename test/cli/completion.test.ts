import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";
import { MAIN, run } from "./cli.ts";
import { newPlace, snapshotOf } from "./fixture.ts";

async function candidates(words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const { code, stdout, stderr } = await run(["__complete", ...words], { env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => line.split("\t", 1).join());
}

describe("what may come next", () => {
  test.each([
    [["ba"], ["backup"]],
    [
      ["undo", ""],
      ["list", "restore", "clean"],
    ],
    [["backup", ""], [":directories"]],
    [["restore", "latest", "x"], [":directories"]],
    [["--json", "list", "--rep"], ["--repo"]],
    [["list", "--repo", ""], [":directories"]],
    [["prune", "--keep-w"], ["--keep-weekly"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish"],
    ],
    [["list", ""], []],
    [["undo", "clean", "db", "b"], []],
    [["info", ""], []],
  ])("%j: %j", async (words, expected) => {
    expect(await candidates(words)).toEqual(expected);
  });

  test("snapshots, where the repository is named", async () => {
    const place = await newPlace();
    const id = await snapshotOf(place, "--name", "nightly");
    expect(await candidates(["info", ""], place.env)).toEqual(["latest", "nightly", id]);
    expect(await candidates(["info", "--repo", place.repo, "n"])).toEqual(["nightly"]);
    expect(await candidates(["scrub", "db", "--snapshot", id.slice(0, 4)], place.env)).toEqual([id]);
  });
});

test("bash completes by its script", async () => {
  const { directory } = await newPlace();
  const command = join(directory, "lancedb-backup");
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  chmodSync(command, 0o755);
  const ask = `source <(lancedb-backup completion bash)
    complete -p lancedb-backup
    for line in "lancedb-backup ver" "lancedb-backup backup ./"; do
      COMP_WORDS=($line) COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
      _lancedb_backup
      printf '%s\\n' "\${COMPREPLY[@]}"
    done`;
  const { stdout, stderr } = spawnSync("bash", ["-c", ask], {
    cwd: directory,
    encoding: "utf8",
    env: { ...process.env, PATH: `${directory}${delimiter}${process.env["PATH"]}` },
  });
  expect(stderr).toBe("");
  const [registered, ...lines] = stdout.trimEnd().split("\n");
  expect(registered).toBe("complete -F _lancedb_backup lancedb-backup");
  expect(lines[0]).toBe("verify");
  expect(lines.slice(1).sort()).toEqual(["./db", "./vault"]);
});

test.each(["bash", "zsh", "fish"])("%s can read its script", async (shell) => {
  const { code, stdout } = await run(["completion", shell]);
  expect(code).toBe(0);
  expect(stdout).toContain("lancedb-backup __complete");
  const file = join(await newDirectory(), "script");
  writeFileSync(file, stdout);
  const checked = spawnSync(shell, ["-n", file], { encoding: "utf8" });
  if (checked.error) return; // the shell is not installed here
  expect({ status: checked.status, stderr: checked.stderr }).toEqual({ status: 0, stderr: "" });
});

test("another shell is wrong use", async () => {
  const { code, stderr } = await run(["completion", "tcsh"]);
  expect(code).toBe(2);
  expect(stderr).toContain("Allowed choices are bash, zsh, fish");
});
