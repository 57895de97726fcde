import type { BackupError } from "../errors.ts";
import { type Hint, type HintCall, type HintOption, inCalls } from "../hint.ts";
import { commandLine } from "./output/command-line.ts";

/** An error's message, with the library's calls and options in it told as this command's. */
export function inCommandWords({ message, hints = [] }: BackupError): string {
  return hints.reduce((text, hint) => text.replaceAll(inCalls(hint), () => commandOf(hint)), message);
}

/** `lancedb-backup recover data/db --keep`, ready to be pasted; of the command that failed `with --source`, `without --link`. */
function commandOf(hint: Hint): string {
  if (hint.call !== undefined) return `\`${commandLine(...WORDS[hint.call](hint))}\``;
  const flags = Object.entries(hint.options ?? {}).map(([option, value]) =>
    FLAGS[option as HintOption](value),
  );
  return flags.join(" and ");
}

const WORDS: Record<HintCall, (hint: Hint) => readonly string[]> = {
  recover: ({ database = "<database>", options = {} }) => {
    const { onConflict, force } = options;
    return ["recover", database, ...(onConflict ? [`--${onConflict}`] : []), ...(force ? ["--force"] : [])];
  },
  restoreBackup: ({ database = "<database>", id = "<id>" }) => ["undo", "restore", database, id],
  cleanupBackup: ({ database = "<database>", id = "<id>" }) => ["undo", "clean", database, id],
  init: ({ repository = "<repository>" }) => ["init", repository],
  delete: ({ id = "<snapshot>", repository }) => ["delete", id, ...of(repository)],
  unpin: ({ id = "<snapshot>", repository }) => ["unpin", id, ...of(repository)],
  unlock: ({ repository }) => ["unlock", ...of(repository)],
};

function of(repository: string | undefined): string[] {
  return repository === undefined ? [] : ["--repo", repository];
}

/** What the command calls an option with a value. null: whichever. */
const FLAGS: Record<HintOption, (value: string | boolean | null | undefined) => string> = {
  allowEmpty: () => "with --allow-empty",
  exclude: () => "with --exclude",
  failOnShrink: (value) => (value === false ? "without --fail-on-shrink" : "with --fail-on-shrink"),
  force: () => "with --force",
  history: (value) => (value === "latest" ? "with --latest-only" : "without --latest-only"),
  // A way of linking is chosen by programs alone: the manager's option.
  link: (value) =>
    typeof value === "string" ? `with link: "${value}"` : value === false ? "without --link" : "with --link",
  mode: (value) => (value === "new" ? "without --in-place" : "with --in-place"),
  onConflict: (value) => (value === "fail" ? "with --fail-on-conflict" : "without --fail-on-conflict"),
  primaryKey: () => "with --key",
  snapshot: () => "with --snapshot",
  source: () => "with --source",
  tables: () => "with --table",
};
