import type { Command } from "commander";
import type { PolicyStatus } from "../../policy/policy-status.ts";
import { formatBytes, formatCount, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { newCommand } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { formatTable } from "../output/table.ts";
import { type ConfigOption, configOption, namedPolicies, parseAge, readConfig } from "../policy-config.ts";

interface Options extends ConfigOption {
  readonly maxAge?: number;
}

export function statusCommand(): Command {
  return newCommand("status", {
    summary: "Tell when policies ran last and run next, and which are overdue.",
    description:
      "Tells of each policy what its repository has: it need not run here, and the repository is only read. A policy is overdue where a run was due and the time in which it is tried again is over, or its newest snapshot is older than --max-age. Exit code 1 where one is overdue, or cannot be read.",
    examples: ["status --config backup.yaml", "status --config backup.yaml --max-age 26h"],
    json: "[{ policy, enabled, location, lastSuccess?, lastFull?, snapshot?, bytes?, snapshots, nextRun?, overdue, reason? }]",
  })
    .argument("[policy...]", "Names of policies. Default: all.")
    .addOption(configOption())
    .option("--max-age <time>", "Overdue is what has no snapshot of the last 26h, 2d, ….", parseAge)
    .action(handle(run));
}

async function run(context: Context, names: string[], options: Options): Promise<Answer> {
  const set = await readConfig(context, options);
  const wanted = new Set(namedPolicies(set, names));
  const { BackupService } = await import("../../policy/backup-service.ts");
  await using service = new BackupService(set, { logger: context.logger });
  const all = await service.status({ maxAgeMs: options.maxAge });
  // What only the service that runs them knows is not told here.
  const statuses = all
    .filter(({ policy }) => wanted.has(policy))
    .map(({ running: _running, consecutiveFailures: _failures, ...status }) => status);
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
  const reasons = statuses.flatMap(({ policy, reason }) =>
    reason === undefined ? [] : [`${printable(policy)}: ${printable(reason)}`],
  );
  return [table, ...reasons].join("\n");
}

function stateOf({ enabled, overdue }: PolicyStatus): string {
  if (!enabled) return "off";
  return overdue ? "overdue" : "ok";
}
