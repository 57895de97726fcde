import { Command, Option } from "commander";
import { parseCount } from "./arguments.ts";
import { pathOf } from "./database-argument.ts";

/** The environment variable that names the repository. */
export const REPOSITORY_VARIABLE = "LANCEDB_BACKUP_REPO";

export interface CommandText {
  /** One line, for the list of commands. */
  readonly summary: string;
  /** What it does and what it promises. */
  readonly description: string;
  /** Command lines, without the program's name. */
  readonly examples: readonly string[];
  /** The value that `--json` prints. */
  readonly json: string;
}

/** A command with its help: description, examples, and what `--json` gives. */
export function newCommand(name: string, text: CommandText): Command {
  const examples = text.examples.map((example) => `  lancedb-backup ${example}`).join("\n");
  return new Command(name)
    .summary(text.summary)
    .description(text.description)
    .helpOption("-h, --help", "Show this help.")
    .addHelpText("after", `\nExamples:\n${examples}\n\nWith --json:\n${indent(text.json)}`);
}

function indent(text: string): string {
  return text
    .trim()
    .split("\n")
    .map((line) => `  ${line}`)
    .join("\n");
}

export interface RepositoryOption {
  readonly repo?: string;
}

export function repositoryOption(): Option {
  return new Option("-r, --repo <repository>", "The repository's directory.").env(REPOSITORY_VARIABLE);
}

/** Bytes a second. */
export interface LimitOptions {
  readonly limitUpload?: number;
  readonly limitDownload?: number;
}

/** Of commands that move a repository's data. */
export function limitOptions(): [Option, Option] {
  const option = (flag: string, what: string) =>
    new Option(`${flag} <KiB/s>`, `${what} at most this many KiB per second, on average.`).argParser(
      (value) => parseCount(value) * 1024,
    );
  return [option("--limit-upload", "Write to a store"), option("--limit-download", "Read from a store")];
}

export interface SourceOption {
  readonly source?: string;
}

/** What an argument says that is a snapshot. */
export const A_SNAPSHOT =
  "A snapshot: its id, part of its id (the beginning or the end), its name, or latest.";

/** Of commands that name a snapshot. */
export function sourceOption(): Option {
  return new Option("--source <database>", "If several databases fit: which one, by its directory or id.");
}

/** A database that is named by an address or by a path from here; an id stays as it is. */
export function sourceFrom({ source }: SourceOption): string | undefined {
  return source !== undefined && /^file:/i.test(source) ? pathOf(source) : source;
}

export interface ConfirmOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** Of commands that destroy something. */
export function confirmOptions(): [Option, Option] {
  return [
    new Option("-n, --dry-run", "Show what would be done, and change nothing."),
    new Option("-y, --yes", "Do not ask. Needed without a terminal."),
  ];
}
