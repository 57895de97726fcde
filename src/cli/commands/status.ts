import type { Command } from "commander";
import type { PolicyStatus } from "../../policy/policy-status.ts";
import { counted, formatBytes, formatCount, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { newCommand } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { formatTable } from "../output/table.ts";
import { type ConfigOption, configOption, namedPolicies, parseAge, readConfig } from "../policy-config.ts";

interface Options extends ConfigOption {
  readonly maxAge?: number;
  readonly notify?: boolean;
}

export function statusCommand(): Command {
  return newCommand("status", {
    summary: "Show when policies ran last and run next, and which are overdue.",
    description:
      "Shows for each policy what is in its repository. The policy need not run on this machine, and the repository is only read. A policy is overdue if a run was due and its retries are over, or if its newest snapshot is older than --max-age. --notify sends the notices that the policies define, once in a while. Exit code 1 if a policy is overdue or cannot be read.",
    examples: [
      "status --config backup.yaml",
      "status --config backup.yaml --max-age 26h",
      "status --config backup.yaml --notify",
    ],
    json: "[{ policy, enabled, location, lastSuccess?, lastFull?, snapshot?, bytes?, snapshots, nextRun?, overdue, reason?, consecutiveFailures, lastError?, lastVerify?: { at, ok } }]",
  })
    .argument("[policy...]", "Names of policies. Default: all.")
    .addOption(configOption())
    .option("--max-age <time>", "Overdue without a snapshot in the last 26h, 2d, ….", parseAge)
    .option("--notify", "Send notices about what is overdue, and what no longer is.")
    .action(handle(run));
}

async function run(context: Context, names: string[], options: Options): Promise<Answer> {
  const set = await readConfig(context, options);
  const policies = namedPolicies(set, names);
  const { BackupService } = await import("../../policy/backup-service.ts");
  await using service = new BackupService(set, { logger: context.logger });
  const all = await service.status({ policies, maxAgeMs: options.maxAge, notify: options.notify });
  // Whether it runs only the service knows that runs it.
  const statuses = all.map(({ running: _running, ...status }) => status);
  const isLate = statuses.some(({ overdue }) => overdue);
  return { json: statuses, text: tableOf(context, statuses), exitCode: isLate ? EXIT.failed : EXIT.done };
}

function tableOf({ terminal }: Context, statuses: readonly PolicyStatus[]): string {
  const table = formatTable(
    terminal,
    [
      { title: "POLICY", value: ({ policy }) => policy },
      { title: "STATE", value: stateOf, style: ({ overdue }) => (overdue ? "red" : undefined) },
      { title: "LAST", value: ({ lastSuccess }) => (lastSuccess ? formatTime(lastSuccess) : "never") },
      { title: "NEXT", value: ({ nextRun }) => (nextRun ? formatTime(nextRun) : "") },
      { title: "SNAPSHOTS", align: "right", value: ({ snapshots }) => formatCount(snapshots) },
      {
        title: "SIZE",
        align: "right",
        value: ({ bytes }) => (bytes === undefined ? "" : formatBytes(bytes)),
      },
    ],
    statuses,
  );
  return [table, ...statuses.flatMap(remarksOf)].join("\n");
}

function remarksOf({
  policy,
  reason,
  consecutiveFailures: failures = 0,
  lastError = "",
  lastVerify,
}: PolicyStatus): string[] {
  const remarks = [
    ...(reason === undefined ? [] : [reason]),
    ...(failures === 0 ? [] : [`${counted(failures, "run")} failed in a row, the last: ${lastError}`]),
    ...(lastVerify?.ok === false ? [`the verification of ${formatTime(lastVerify.at)} found damage`] : []),
  ];
  return remarks.map((remark) => `${printable(policy)}: ${printable(remark)}`);
}

function stateOf({ enabled, overdue }: PolicyStatus): string {
  if (!enabled) return "off";
  return overdue ? "overdue" : "ok";
}
