import { type Command, Option } from "commander";
import { isError, reasonOf } from "../../fs/io.ts";
import type { PageToken } from "../../page/access-token.ts";
import type { BackupService } from "../../policy/backup-service.ts";
import type { RunReport, RunType } from "../../policy/run-policy.ts";
import { formatBytes, formatDuration, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { parseNumber } from "../arguments.ts";
import { newCommand } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { type ConfigOption, configOption, namedPolicies, readConfig } from "../policy-config.ts";
import { type Lasting, stayUntilTold } from "../stay.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends ConfigOption {
  readonly once?: boolean;
  readonly type?: RunType;
  readonly stopTimeout: number;
}

export function runCommand(): Command {
  return newCommand("run", {
    summary: "Run policies on their schedules, or once.",
    description:
      "Keeps running, runs the policies of a file on their schedules, and serves a web page about them if the file says so. A run that was missed while it was off is made up once. SIGTERM and Ctrl-C stop it, and leave nothing half-made. SIGHUP makes it read the file again; if the file is wrong, the policies stay as they were. --once runs the named policies, or all, once and ends: for cron and systemd timers. A policy that another process runs, on any machine, is skipped. Exit code 1 if a run failed, 3 if a verification found damage, 4 if something was skipped, left out or postponed.",
    examples: [
      "run --config /etc/lancedb-backup.yaml",
      "run --once --config backup.yaml",
      "run --once database --type full --config backup.yaml",
    ],
    json: `With --once [{ policy, type?, step?, outcome, startedAt, endedAt, durationMs, attempts, snapshot?, prune?, verification?, error? }],
step: where it failed, snapshot as in backup, prune as in prune, verification as in verify, error: { code?, message }; else { runs, failures }`,
  })
    .argument("[policy...]", "With --once: names of policies. Default: all enabled policies.")
    .addOption(configOption())
    .option("--once", "Run each policy once, now, and end.")
    .addOption(
      new Option(
        "--type <type>",
        "With --once: full reads every byte again. Default: what the schedule says.",
      ).choices(["full", "incremental"]),
    )
    .addOption(
      new Option("--stop-timeout <seconds>", "How long to wait for running backups when stopping.")
        .argParser(parseNumber)
        .default(30),
    )
    .action(handle(run));
}

function run(context: Context, names: string[], options: Options): Promise<Answer> {
  const { readOnly, audit } = context.options;
  if (readOnly) throw new UsageError("Policies write to their repositories: run has no --read-only.");
  if (audit !== undefined)
    throw new UsageError(
      "--audit cannot be used with run: set audit in the policies' file, for all policies or for one.",
    );
  if (options.once) return runOnce(context, names, options);
  if (names.length > 0 || options.type !== undefined) {
    throw new UsageError("Policies and --type need --once: without it all policies run on their schedules.");
  }
  return stay(context, options);
}

async function runOnce(context: Context, names: string[], options: Options): Promise<Answer> {
  const set = await readConfig(context, options);
  const wanted = namedPolicies(set, names).filter(
    (name) => names.length > 0 || set.get(name)?.settings.enabled === true,
  );
  const { BackupService } = await import("../../policy/backup-service.ts");
  await using service = new BackupService(set, { logger: context.logger });
  context.interrupt.describe("No snapshot was made by the runs that were under way.");
  context.signal.addEventListener("abort", () => void service.stop(), { once: true });
  const reports = await Promise.all(wanted.map((name) => service.run(name, options.type)));
  context.signal.throwIfAborted();
  if (reports.some(({ outcome }) => outcome !== "success"))
    await service.status({ policies: wanted, notify: true });
  await service.publishMetrics();
  return {
    json: reports.map((report) => ({
      ...report,
      ...(report.error !== undefined && { error: told(report.error) }),
    })),
    text: reports.map(lineOf).join("\n"),
    exitCode: exitCodeOf(reports),
  };
}

async function stay(context: Context, options: Options): Promise<Answer> {
  const { BackupService } = await import("../../policy/backup-service.ts");
  let [runs, failures] = [0, 0];
  let isFirst = true;
  let tokens: readonly PageToken[] = [];
  const make = async (): Promise<Lasting> => {
    const set = await readConfig(context, options);
    const service: BackupService = new BackupService(set, { logger: context.logger });
    service.onRun((report) => {
      runs++;
      if (report.outcome === "failure") failures++;
      if (!context.options.quiet) context.screen.line(`${formatTime(report.endedAt)}  ${lineOf(report)}`);
    });
    const lasting = set.page
      ? (await import("../with-page.ts")).withPage(context, service, {
          page: set.page,
          isFirst,
          tokens: () => tokens,
        })
      : service;
    isFirst = false;
    tokens = set.page?.tokens ?? [];
    return lasting;
  };
  await stayUntilTold(context, make, options.stopTimeout * 1000);
  return { json: { runs, failures }, text: "" };
}

function lineOf({
  policy,
  type,
  outcome,
  snapshot,
  durationMs,
  attempts,
  verification,
  error,
}: RunReport): string {
  if (outcome === "skipped") return `${printable(policy)}: skipped: ${printable(reasonFor(error))}`;
  const did = snapshot
    ? `${type} snapshot ${snapshot.id}, ${formatBytes(snapshot.bytes)} (new: ${formatBytes(snapshot.newBytes)})`
    : verification
      ? "verification"
      : (type ?? "prune");
  const tries = attempts > 1 ? `, ${attempts} attempts` : "";
  const why = outcome === "success" ? "" : `: ${reasonFor(error)}`;
  return `${printable(policy)}: ${outcome}, ${did}, in ${formatDuration(durationMs)}${tries}${printable(why)}`;
}

function reasonFor(error: unknown): string {
  return reasonOf(error);
}

function told(error: unknown): Readonly<Record<string, unknown>> {
  const code = isError(error) && "code" in error ? { code: error.code } : {};
  return { ...code, message: reasonFor(error) };
}

function exitCodeOf(reports: readonly RunReport[]): ExitCode {
  const isDamaged = (report: RunReport) => report.verification?.some(({ ok }) => !ok) === true;
  const isFailed = (report: RunReport) => report.outcome === "failure" || report.outcome === "aborted";
  if (reports.some((report) => isFailed(report) && !isDamaged(report))) return EXIT.failed;
  if (reports.some(isDamaged)) return EXIT.damage;
  return reports.some(isPartial) ? EXIT.partly : EXIT.done;
}

function isPartial({ outcome, snapshot, prune }: RunReport): boolean {
  const { leftOut = [], tables = [] } = snapshot ?? {};
  const isMissing =
    leftOut.some(({ why }) => why !== "excluded") || tables.some((table) => table.leftOut.length > 0);
  return outcome === "skipped" || isMissing || prune?.postponed !== undefined;
}
