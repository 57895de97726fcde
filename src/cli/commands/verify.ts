import type { Command } from "commander";
import type { Check, VerificationResult } from "../../repository/index.ts";
import { schemeOf } from "../../storage/open-storage.ts";
import { counted } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { parseBytes, parseDays, parseFraction } from "../arguments.ts";
import {
  A_SNAPSHOT,
  type LimitOptions,
  limitOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
  type SourceOption,
  sourceFrom,
  sourceOption,
} from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { damagedSnapshot } from "../damaged-document.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { openRepository, repositoryPath } from "../open-repository.ts";
import { commandLine } from "../output/command-line.ts";
import type { Terminal } from "../output/terminal.ts";
import { displayOf } from "../progress-display.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends RepositoryOption, LimitOptions, SourceOption {
  readonly read?: number;
  readonly sizesOnly?: boolean;
  readonly rolling?: number;
  readonly minBytes?: number;
  readonly restoreTest?: boolean;
  readonly quarantine?: boolean;
}

export function verifyCommand(): Command {
  const command = newCommand("verify", {
    summary: "Check one snapshot, or the whole repository.",
    description:
      "Checks that every blob exists with its bytes, and that every file that a table's manifests name is in the snapshot. Without an id it checks all snapshots, and the repository itself. Exit code 3 if anything is damaged. Changes nothing, except that --quarantine moves damaged blobs aside.",
    examples: [
      "verify --repo ./vault",
      "verify latest --restore-test",
      "verify --quarantine",
      "verify --read 10% --min-bytes 1MB",
      "verify --rolling 30d",
    ],
    json: `[{ snapshot, source?: { type, id, uri, host }, check, ok, details, error?, oldestBlobSeconds? }]; snapshot is empty for the check of the repository itself`,
  })
    .argument("[id]", `${A_SNAPSHOT} Default: all.`)
    .addOption(repositoryOption())
    .addOption(sourceOption())
    .option(
      "--read <part>",
      "How much of the data to read: 0.1 or 10% is a tenth, chosen at random.",
      parseFraction,
    )
    .option("--sizes-only", "Check sizes only; read no data.")
    .option(
      "--rolling <time>",
      "Read every blob once in this time, such as 30d: each run reads its share, and notes in the repository how far it came.",
      parseDays,
    )
    .option("--min-bytes <size>", "Fail if a snapshot is smaller than this, such as 10MB.", parseBytes)
    .option(
      "--restore-test",
      "Also restore each snapshot into a temporary directory, and read it there with LanceDB.",
    )
    .option(
      "--quarantine",
      "Move damaged blobs aside, so that the next backup stores them again if the database still has the files.",
    )
    .action(handle(run));
  for (const option of limitOptions()) command.addOption(option);
  return command;
}

async function run(context: Context, id: string | undefined, options: Options): Promise<Answer> {
  const { read, sizesOnly, minBytes, restoreTest = false, rolling } = options;
  if (read !== undefined && sizesOnly)
    throw new UsageError("--read and --sizes-only cannot be used together.");
  if (rolling !== undefined && (read !== undefined || sizesOnly || id !== undefined || options.source))
    throw new UsageError(
      "--rolling reads a share of all snapshots' blobs: leave the snapshot and other ways of reading out.",
    );
  await using repository = await openRepository(context, options);
  if (options.quarantine && sizesOnly)
    throw new UsageError("--quarantine needs to read data, and --sizes-only reads none.");
  context.interrupt.describe("Not everything was checked; nothing was changed.");
  const checks: Check[] = rolling === undefined ? ["integrity", "completeness"] : ["integrity"];
  if (minBytes !== undefined) checks.push({ minBytes });
  const progress = await displayOf(context);
  const settings = {
    checks,
    restoreTest,
    quarantine: options.quarantine ?? false,
    ...(rolling === undefined ? { readData: sizesOnly ? false : (read ?? true) } : { rollingDays: rolling }),
    source: sourceFrom(options),
    signal: context.signal,
    onProgress: progress.onProgress,
  };
  const results = await repository
    .verify(id, settings)
    .catch((error: unknown) => {
      // `latest`, and it cannot be known whether an older one would be: damage all the same.
      const damaged = damagedSnapshot(error);
      if (damaged === undefined) throw error;
      return repository.verify(damaged, { ...settings, source: undefined });
    })
    .finally(progress.end);
  const isWhole = results.every(({ ok }) => ok);
  return {
    json: results,
    text: describe(context.terminal, results, repositoryPath(options)),
    exitCode: isWhole ? EXIT.done : EXIT.damage,
  };
}

function describe(terminal: Terminal, results: readonly VerificationResult[], location: string): string {
  const databases = new Set(results.map(({ source }) => source?.id).filter((id) => id !== undefined));
  const lines = results.map(({ snapshot, source, check, ok, details }) => {
    const mark = ok ? terminal.style("green", "ok    ") : terminal.style("red", "DAMAGE");
    const of = databases.size > 1 && source ? `of ${source.uri} ` : "";
    const about = snapshot === "" || check === "repository" ? check : `${snapshot} ${of}${check}`;
    return `${mark}  ${terminal.style("bold", printable(about))}: ${printable(details)}`;
  });
  const bad = results.filter(({ ok }) => !ok).length;
  const [only] = databases.size === 1 ? results.flatMap(({ source }) => source ?? []) : [];
  if (only) lines.push(`Of database ${printable(only.uri)}, id ${printable(only.id)}.`);
  const verdict =
    bad === 0
      ? terminal.style("green", `All is well: ${counted(results.length, "check")}.`)
      : terminal.style("red", `${bad} of ${counted(results.length, "check")} found damage.`);
  return [...lines, "", verdict, ...adviceOf(results, location)].join("\n");
}

/** What to do about damage, a line for each kind. */
function adviceOf(results: readonly VerificationResult[], location: string): string[] {
  const repo = ["--repo", location];
  const bad = results.filter(({ ok }) => !ok);
  const isBlob = ({ check }: VerificationResult) => check === "integrity" || check === "completeness";
  const wasMoved = results.some(({ check }) => check === "quarantine");
  const documents = bad.filter(({ check }) => check === "document");
  const lines = documents.map(
    ({ snapshot }) =>
      `-> Snapshot ${snapshot} cannot be restored, and prune frees no blob while it exists. The other snapshots do not need it. ${commandLine("delete", snapshot, ...repo)} removes it; then take a new one.`,
  );
  const backup = commandLine("backup", "<database>", ...repo);
  if (bad.some(isBlob)) {
    const byHand = `-> Remove the damaged object from the store by hand, then ${backup} stores it again, where the database still has the file.`;
    lines.push(
      schemeOf(location) !== undefined
        ? byHand
        : wasMoved
          ? `-> Now: ${backup} stores again what the database still has; verify tells what is left.`
          : `-> Where the database still has the files, they can be stored again: ${commandLine("verify", "--quarantine", ...repo)} moves damaged blobs aside, then ${backup}. What the database no longer has is lost to these snapshots; their other tables can be restored with --table.`,
    );
  }
  return lines;
}
