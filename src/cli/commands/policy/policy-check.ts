import type { Command } from "commander";
import type { PolicyCheck } from "../../../policy/check-policy.ts";
import { formatTime } from "../../../util/format.ts";
import { printable } from "../../../util/printable.ts";
import { newCommand } from "../../command.ts";
import type { Answer, Context } from "../../context.ts";
import { EXIT } from "../../exit-codes.ts";
import { handle } from "../../handle.ts";
import { type ConfigOption, configOption, namedPolicies, readConfig } from "../../policy-config.ts";

export function policyCheckCommand(): Command {
  return newCommand("check", {
    summary: "Check policies: their file, their sources and repositories, and when they run next.",
    description:
      "Reads the file, checks that each repository can be written to, and checks each source: whether a database server lets the user in and read every table, whether LanceDB and SQLite databases open, whether each file in a directory can be opened. Changes nothing. Exit code 1 if a policy could not run, 2 if the file is wrong.",
    examples: ["policy check --config backup.yaml", "policy check database --config backup.yaml"],
    json: "[{ policy, location, ok, snapshots?, problems: [text], notes: [text], nextRuns: [time] }]",
  })
    .argument("[policy...]", "Names of policies. Default: all.")
    .addOption(configOption())
    .action(handle(run));
}

async function run(context: Context, names: string[], options: ConfigOption): Promise<Answer> {
  const set = await readConfig(context, options);
  if (set.page) {
    const { pageOptionsOf, pageSettings } = await import("../../../page/page-options.ts");
    pageSettings(pageOptionsOf(set.page));
  }
  const { checkPolicy } = await import("../../../policy/check-policy.ts");
  const checks: PolicyCheck[] = [];
  for (const name of namedPolicies(set, names)) {
    context.signal.throwIfAborted();
    const policy = set.get(name);
    if (policy) checks.push(await checkPolicy(policy.settings, context.logger));
  }
  const text = checks.map((check) => describe(context, check)).join("\n");
  return { json: checks, text, exitCode: checks.every(({ ok }) => ok) ? EXIT.done : EXIT.failed };
}

function describe(
  { terminal }: Context,
  { policy, ok, location, problems, notes, nextRuns }: PolicyCheck,
): string {
  const head = ok ? terminal.style("green", "ok") : terminal.style("red", "problem");
  const next =
    nextRuns.length === 0 ? "never by itself" : nextRuns.map((time) => formatTime(time)).join(", ");
  return [
    `${head}  ${printable(policy)} → ${printable(location)}`,
    ...[...problems, ...notes].map((line) => `    ${printable(line)}`),
    `    runs next: ${next}`,
  ].join("\n");
}
