import { Argument, type Command } from "commander";
import { newCommand } from "../command.ts";
import { COMPLETION_SCRIPTS } from "../completion-scripts.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";

export function completionCommand(): Command {
  return newCommand("completion", {
    summary: "Print a shell completion script.",
    description:
      "Prints a script for completing commands, options, directories, and snapshots if the repository is named.",
    examples: [
      "completion bash >> ~/.bashrc",
      "completion zsh > ~/.zfunc/_lancedb-backup",
      "completion fish > ~/.config/fish/completions/lancedb-backup.fish",
    ],
    json: "{ shell, script }",
  })
    .addArgument(new Argument("<shell>", "bash, zsh or fish.").choices(Object.keys(COMPLETION_SCRIPTS)))
    .action(handle(run));
}

async function run(_context: Context, shell: keyof typeof COMPLETION_SCRIPTS): Promise<Answer> {
  const script = COMPLETION_SCRIPTS[shell];
  return { json: { shell, script }, text: script.trimEnd() };
}
