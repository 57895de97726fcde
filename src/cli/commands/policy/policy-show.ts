import type { Command } from "commander";
import { newCommand } from "../../command.ts";
import type { Answer, Context } from "../../context.ts";
import { handle } from "../../handle.ts";
import { formatTable } from "../../output/table.ts";
import { type ConfigOption, configOption, namedPolicies, readConfig } from "../../policy-config.ts";

export function policyShowCommand(): Command {
  return newCommand("show", {
    summary: "Show every setting of policies, and where it comes from.",
    description:
      "Shows each setting of a policy with the file and line that it comes from: the policy itself, or the defaults for all policies. Placeholders for variables, files and credentials are shown as they are written. Passwords are not shown.",
    examples: ["policy show database --config backup.yaml"],
    json: "[{ policy, values: [{ key, value, from }] }]",
  })
    .argument("[policy...]", "Names of policies. Default: all.")
    .addOption(configOption())
    .action(handle(run));
}

async function run(context: Context, names: string[], options: ConfigOption): Promise<Answer> {
  const set = await readConfig(context, options);
  const shown = namedPolicies(set, names).map((policy) => ({
    policy,
    values: set.get(policy)?.show() ?? [],
  }));
  const text = shown.map(({ policy, values }) => {
    const table = formatTable(
      context.terminal,
      [
        { title: "KEY", value: ({ key }) => key },
        { title: "VALUE", value: ({ value }) => value, least: 20 },
        { title: "FROM", value: ({ from }) => from, least: 20 },
      ],
      values,
    );
    return `${context.terminal.style("bold", policy)}\n${table}`;
  });
  return { json: shown, text: text.join("\n\n") };
}
