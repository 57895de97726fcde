import type { Argument, Command, Option } from "commander";
import { REPOSITORY_VARIABLE } from "./command.ts";

/** Told to a shell in place of candidates: it knows directories itself. */
const DIRECTORIES = ":directories";

const DIRECTORY_OPTIONS = new Set(["repo", "source", "backupDir"]);
const DIRECTORY_ARGUMENTS = new Set(["database", "repository", "target"]);

/**
 * What may stand in the place of the last word: `<candidate>\t<description>`, or `:directories`.
 *
 * @param words what was typed after the command's name; the last one is the one to complete, and may be empty.
 */
export async function complete(program: Command, words: readonly string[]): Promise<string[]> {
  const current = words.at(-1) ?? "";
  const { command, arguments: given, open, repo } = read(program, words.slice(0, -1));
  const candidates = open
    ? await valuesOf(open.attributeName(), repo)
    : current.startsWith("-")
      ? optionsOf(program, command)
      : await placesOf(command, given, repo);
  return candidates.filter((line) => line.startsWith(current) || line === DIRECTORIES);
}

interface Typed {
  readonly command: Command;
  /** How many arguments it has already. */
  readonly arguments: number;
  /** An option that waits for its value. */
  readonly open: Option | undefined;
  readonly repo: string | undefined;
}

function read(program: Command, words: readonly string[]): Typed {
  let command = program;
  let count = 0;
  let open: Option | undefined;
  let repo = process.env[REPOSITORY_VARIABLE];
  for (const word of words) {
    if (open) {
      if (open.attributeName() === "repo") repo = word;
      open = undefined;
    } else if (word.startsWith("-")) {
      const option = [...command.options, ...program.options].find(
        ({ long, short }) => word === long || word === short,
      );
      if (option?.required) open = option;
    } else {
      const next = command.commands.find((each) => each.name() === word);
      if (next) command = next;
      else count++;
    }
  }
  return { command, arguments: count, open, repo };
}

function optionsOf(program: Command, command: Command): string[] {
  const all = new Set([...command.options, ...program.options]);
  const lines = [...all]
    .filter(({ hidden }) => !hidden)
    .map(({ long, short, description }) => `${long ?? short}\t${description}`);
  return [...lines, "--help\tShow this help."];
}

async function placesOf(command: Command, given: number, repo: string | undefined): Promise<string[]> {
  if (command.commands.length > 0) return command.commands.map((each) => `${each.name()}\t${each.summary()}`);
  const last = command.registeredArguments.at(-1);
  const argument: Argument | undefined =
    command.registeredArguments[given] ?? (last?.variadic ? last : undefined);
  if (!argument) return [];
  if (argument.argChoices) return argument.argChoices.map((choice) => `${choice}\t`);
  if (DIRECTORY_ARGUMENTS.has(argument.name())) return [DIRECTORIES];
  return command.parent?.name() === "undo" ? [] : snapshots(repo);
}

async function valuesOf(option: string, repo: string | undefined): Promise<string[]> {
  if (DIRECTORY_OPTIONS.has(option)) return [DIRECTORIES];
  return option === "snapshot" ? snapshots(repo) : [];
}

/** Where the repository is not named or cannot be read there are none: nobody wants errors while typing. */
async function snapshots(repo: string | undefined): Promise<string[]> {
  if (repo === undefined || repo === "") return [];
  const silent = () => undefined;
  const logger = { debug: silent, info: silent, warn: silent, error: silent };
  try {
    const { Repository } = await import("../repository/index.ts");
    const all = await (await Repository.open(repo, { logger })).list();
    const names = new Set(all.flatMap(({ name }) => (name === undefined ? [] : [name])));
    return [
      "latest\tthe newest snapshot",
      ...Array.from(names, (name) => `${name}\tthe newest of this name`),
      ...all.map(({ id, source }) => `${id}\t${source.uri.replaceAll(/[\t\n]/g, " ")}`),
    ];
  } catch {
    return [];
  }
}
