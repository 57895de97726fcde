// Writes docs/cli.md from the command's own help. A test fails when it is stale (test/cli/docs.test.ts).
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { allCommands, buildProgram } from "../src/cli/program.ts";

export const CLI_DOCS = join(import.meta.dirname, "../docs/cli.md");

const HELP_COLUMNS = 100;

const INTRODUCTION = `# The command

Generated from the command's own help by \`npm run docs:cli\`; do not edit it here.

\`npx lancedb-backup <command>\`, or \`lancedb-backup\` where the package is installed globally. Name the repository by
\`--repo\`, or once and for all in \`LANCEDB_BACKUP_REPO\`. Results go to standard output; progress, warnings, questions and errors
go to standard error. With \`--json\` the result is exactly one JSON value, with times in ISO 8601 (UTC). A command that fails
prints \`{ "error": { "code", "message", "hints"? } }\`, where the code is a \`BackupError\`'s, or \`USAGE\`,
\`INTERRUPTED\`, \`DECLINED\`, \`UNEXPECTED\`. Commands that destroy something ask on a terminal, and need \`--yes\` elsewhere. Ctrl-C
stops without leaving anything half-made, and says what state things are in. A second Ctrl-C leaves at once, and the next run recovers.

What \`report\` writes, in light and in dark:

![The report](images/report.png)
`;

/** The whole page. */
export function renderCliDocs(): string {
  const program = buildProgram();
  const commands = allCommands(program);
  for (const command of commands) {
    command.configureOutput({ getOutHelpWidth: () => HELP_COLUMNS, getOutHasColors: () => false });
    // They are the same for all, and stand above.
    if (command !== program) command.configureHelp({ showGlobalOptions: false });
  }
  return [INTRODUCTION, ...commands.map(section)].join("\n");
}

function section(command: Command): string {
  return `## ${pathOf(command)}\n\n\`\`\`text\n${helpOf(command).trimEnd()}\n\`\`\`\n`;
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

/** With what is added after it, which `helpInformation` leaves out. */
function helpOf(command: Command): string {
  let text = "";
  const writeOut = (part: string) => {
    text += part;
  };
  command.configureOutput({ writeOut });
  command.outputHelp();
  return text;
}

if (import.meta.main) writeFileSync(CLI_DOCS, renderCliDocs());
