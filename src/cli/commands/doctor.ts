import type { Command } from "commander";
import {
  type LimitOptions,
  limitOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
} from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { keysToOpen } from "../key-options.ts";
import { storageOptions } from "../open-repository.ts";
import { findingsText } from "../output/findings-text.ts";

export function doctorCommand(): Command {
  const command = newCommand("doctor", {
    summary: "Look for problems, and say what to do about them.",
    description:
      "Looks at versions, file systems and their free space, leftovers of processes, every table (a damaged newest version, missing files, what cannot be captured and why, tags that make optimize throw), and the repository. Changes nothing. Exit code 1 if there is a problem.",
    examples: ["doctor", "doctor data/lancedb-table --repo ./vault"],
    json: `{ ok, findings: [{ check, about, level, details, advice? }] }, where level is "ok", "note", "warning" or
"problem"; ok is false where there is a problem`,
  })
    .argument("[database]", "The database's directory.")
    .addOption(repositoryOption())
    .action(handle(run));
  for (const option of limitOptions()) command.addOption(option);
  return command;
}

async function run(
  context: Context,
  database: string | undefined,
  options: RepositoryOption & LimitOptions,
): Promise<Answer> {
  const { diagnose } = await import("../../doctor/diagnose.ts");
  const { signal, terminal } = context;
  const diagnosis = await diagnose({
    uri: database,
    repository: options.repo,
    keys: () => keysToOpen(context),
    storage: options.repo === undefined ? undefined : storageOptions(options.repo, context, options),
    signal,
  });
  return {
    json: diagnosis,
    text: findingsText(terminal, diagnosis.findings),
    exitCode: diagnosis.ok ? EXIT.done : EXIT.failed,
  };
}
