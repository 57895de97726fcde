#!/usr/bin/env node
import { setFlagsFromString } from "node:v8";
import { CommanderError } from "commander";
import { EXIT } from "./exit-codes.ts";
import { fail, screenOf } from "./handle.ts";
import { watchOutputs } from "./output/unwritable.ts";
import { buildProgram } from "./program.ts";
import { UsageError } from "./usage-error.ts";

// LanceDB's own warnings are for its developers.
process.env["LANCEDB_LOG"] ??= "error";

// What is young in V8's heap would get up to 130 MB of room as soon as much of it lives on, as the names of files do. A library must
// leave that to its application.
setFlagsFromString("--semi-space-growth-factor=1");

watchOutputs();

const words = process.argv.slice(2);

const FIRST_WORDS = `Verified, deduplicated backups of LanceDB databases, and a way back.

  lancedb-backup init ./vault                                      make a repository, best on another disk
  lancedb-backup backup data/lancedb-table --repo ./vault          take a snapshot
  lancedb-backup list --repo ./vault                               what there is
  lancedb-backup restore latest ./restored --repo ./vault          get it back
  lancedb-backup doctor data/lancedb-table --repo ./vault          what is wrong, and what to do about it

All commands: lancedb-backup --help
`;

try {
  if (words[0] === "__complete") await answerShell(words.slice(1));
  else if (words.length === 0) process.stdout.write(FIRST_WORDS);
  else {
    if (/^(--repo(=.*)?|-r.*)$/.test(words[0] ?? "")) {
      throw new UsageError("--repo goes after the command: lancedb-backup list --repo <directory>.");
    }
    // Commander's own `help` goes no deeper than one command.
    const isDeep = words[0] === "help" && words.length > 2;
    await buildProgram().parseAsync(isDeep ? [...words.slice(1), "--help"] : words, { from: "user" });
  }
} catch (error) {
  const isHelp = error instanceof CommanderError && error.code.startsWith("commander.help");
  if (isHelp && error.exitCode !== 0 && !words.includes("--json")) process.exitCode = EXIT.usage;
  else if (!(error instanceof CommanderError) || error.exitCode !== 0) {
    const options = { json: words.includes("--json"), verbose: words.includes("--verbose") };
    fail(error, options, screenOf({ color: !words.includes("--no-color") }));
  }
}

async function answerShell(typed: readonly string[]): Promise<void> {
  const { complete } = await import("./complete-words.ts");
  for (const line of await complete(buildProgram(), typed)) process.stdout.write(`${line}\n`);
}
