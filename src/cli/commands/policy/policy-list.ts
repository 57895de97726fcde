import type { Command } from "commander";
import type { Policy } from "../../../policy/policy-set.ts";
import { newCommand } from "../../command.ts";
import type { Answer, Context } from "../../context.ts";
import { handle } from "../../handle.ts";
import { formatTable } from "../../output/table.ts";
import { type ConfigOption, configOption, readConfig } from "../../policy-config.ts";

export function policyListCommand(): Command {
  return newCommand("list", {
    summary: "List the policies of a file.",
    description:
      "Lists the policies of a file with their sources, schedules and repositories. Contacts no server.",
    examples: ["policy list --config backup.yaml"],
    json: "[{ policy, enabled, sources: [type], full?, incremental?, timeZone, location }]",
  })
    .addOption(configOption())
    .action(handle(run));
}

async function run(context: Context, options: ConfigOption): Promise<Answer> {
  const set = await readConfig(context, options);
  const rows = [...set].map(rowOf);
  const text = formatTable(
    context.terminal,
    [
      { title: "POLICY", value: ({ policy, enabled }) => (enabled ? policy : `${policy} (off)`) },
      { title: "SOURCES", value: ({ sources }) => sources.join(", ") },
      { title: "FULL", value: ({ full = "" }) => full },
      { title: "INCREMENTAL", value: ({ incremental = "" }) => incremental },
      { title: "ZONE", value: ({ timeZone }) => timeZone },
      { title: "REPOSITORY", value: ({ location }) => location, least: 12, keep: "end" },
    ],
    rows,
  );
  return { json: rows, text };
}

function rowOf({ name: policy, settings }: Policy) {
  const { enabled, schedule, storage } = settings;
  const { full, incremental, timeZone } = schedule;
  const sources = [...new Set(settings.sources.map(({ type }) => type))];
  return {
    ...{ policy, enabled, sources },
    ...(full && { full: full.text }),
    ...(incremental && { incremental: incremental.text }),
    ...{ timeZone, location: storage.location },
  };
}
