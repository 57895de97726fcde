import { type Command, Option } from "commander";
import type { PruneReport } from "../../repository/index.ts";
import { counted, formatBytes, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { parseNumber } from "../arguments.ts";
import {
  type ConfirmOptions,
  confirmOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
} from "../command.ts";
import { confirm } from "../confirm.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { idsShown } from "../output/short-ids.ts";
import { formatTable } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";
import { addRetentionOptions, policyOf, type RetentionOptions } from "../retention-options.ts";

interface Options extends RepositoryOption, ConfirmOptions, RetentionOptions {
  readonly graceHours?: number;
  readonly lockTimeout?: number;
  readonly force?: boolean;
  readonly keepAuditDays?: number;
}

export function pruneCommand(): Command {
  const command = newCommand("prune", {
    summary: "Remove old snapshots by rules, and free the space.",
    description:
      "Removes the snapshots that the rules do not keep, and blobs that no snapshot has needed for a grace period. Without a rule no snapshot is removed. The rules apply to each database separately. Never removed: the newest snapshot of a database, pinned snapshots, and the last snapshot from before a table disappeared or lost most of its rows. Without --force it refuses to remove good snapshots in favour of implausible ones. Shows the plan and asks first. Exit code 4 if blobs could not be removed yet because the repository is in use.",
    examples: [
      "prune --repo ./vault --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run",
      "prune --keep-last 10 --keep-tag keep --yes",
    ],
    json: `{ dryRun, kept: [{ snapshot, reasons }], removed: [{ snapshot, reason }], timeZone, marked: { blobs, bytes },
freed: { blobs, bytes }, waiting: [{ blobs, bytes, until }], postponed?, unfinished, deadLeases,
endangered?: [{ snapshot, reason }], auditEntriesRemoved? }; snapshot as in list`,
  }).addOption(repositoryOption());
  addRetentionOptions(command).option(
    "--grace-hours <hours>",
    "How long blobs are kept after they were found unneeded. Default: 24.",
    parseNumber,
  );
  command.option(
    "--keep-audit-days <days>",
    "Also remove audit log entries that are older. Default: keep all.",
    parseNumber,
  );
  command.option(
    "--force",
    "Remove good snapshots even if all that remain in their place are implausible: far smaller, or dated wrongly.",
  );
  command.addOption(
    new Option("--lock-timeout <seconds>", "How long to wait for backups to end before blobs are removed.")
      .argParser(parseNumber)
      .default(60),
  );
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(context: Context, options: Options): Promise<Answer> {
  const { dryRun, yes, graceHours, lockTimeout = 60, force, keepAuditDays } = options;
  const policy = {
    ...policyOf(options),
    graceHours,
    force,
    keepAuditDays,
    lockTimeoutMs: lockTimeout * 1000,
  };
  await using repository = await openRepository(context, options);
  const { signal, terminal } = context;
  let plan = dryRun || !yes ? await repository.prune({ ...policy, signal, dryRun: true }) : undefined;
  if (dryRun && plan) return { json: plan, text: describe(terminal, plan) };
  for (;;) {
    const isRefused = plan?.endangered !== undefined && !force; // the prune says so
    if (plan && !isRefused && (plan.removed.length > 0 || plan.freed.blobs > 0))
      await confirm(context, yes, describe(terminal, plan), "Prune?");
    context.interrupt.describe("Every snapshot that list shows is whole. The next prune does the rest.");
    const agreed = plan?.removed.map(({ snapshot }) => snapshot.id);
    const report = await repository.prune({ ...policy, signal, agreed });
    const done = `${counted(report.removed.length, "snapshot")} removed.`;
    const exitCode = report.postponed === undefined ? EXIT.done : EXIT.partly;
    if (!report.dryRun) return { json: report, text: describe(terminal, report), done, exitCode };
    plan = report; // while the question waited, a backup or a new day has changed what the rules remove
  }
}

function describe(terminal: Terminal, report: PruneReport): string {
  const {
    dryRun,
    kept,
    removed,
    timeZone,
    marked,
    freed,
    waiting,
    locked,
    postponed,
    unfinished,
    deadLeases,
    endangered = [],
  } = report;
  const rows = [
    ...kept.map(({ snapshot, reasons }) => ({ snapshot, action: "keep", why: reasons.join(", ") })),
    ...removed.map(({ snapshot, reason }) => ({ snapshot, action: "remove", why: reason })),
  ].sort((a, b) => b.snapshot.createdAt.getTime() - a.snapshot.createdAt.getTime());
  const shown = idsShown(
    terminal,
    rows.map(({ snapshot }) => snapshot),
  );
  const parts: string[] = [];
  if (rows.length > 0) {
    parts.push(
      formatTable(
        terminal,
        [
          { title: "SNAPSHOT", value: ({ snapshot }) => shown(snapshot.id) },
          { title: "TIME", value: ({ snapshot }) => formatTime(snapshot.createdAt, timeZone) },
          { title: "NAME", value: ({ snapshot }) => snapshot.name ?? "" },
          {
            title: "ACTION",
            value: ({ action }) => action,
            style: ({ action }) => (action === "remove" ? "red" : "green"),
          },
          { title: "WHY", value: ({ why }) => why, least: 16, wrap: true },
        ],
        rows,
      ),
      "",
      `Time zone of all times and rules: ${timeZone}.`,
      "",
    );
  }
  const will = (done: string, planned: string) => (dryRun ? planned : done);
  parts.push(
    `${counted(removed.length, "snapshot")} ${will("removed", "to remove")}, ${kept.length} kept.`,
    `${blobs(freed)} ${will("freed", "to free now")}; ${blobs(marked)} found unneeded for the first time.`,
  );
  for (const { snapshot, reason } of endangered)
    parts.push(
      terminal.style(
        "red",
        `${dryRun ? "Refused without --force" : "By force"}: ${printable(`${snapshot}: ${reason}`)}.`,
      ),
    );
  for (const each of waiting)
    parts.push(`${blobs(each)} can be freed from ${formatTime(each.until, timeZone)} (${timeZone}) on.`);
  if (locked !== undefined) parts.push(`${blobs(locked)} cannot be freed yet: the store has them locked.`);
  if (postponed !== undefined) parts.push(`Not freed: ${postponed}`);
  if (unfinished + deadLeases > 0) {
    parts.push(
      `${will("Removed", "To remove")} of processes that died: ${counted(unfinished + deadLeases, "leftover")}.`,
    );
  }
  if (report.auditEntriesRemoved !== undefined)
    parts.push(`Entries of the audit log removed: ${report.auditEntriesRemoved}.`);
  return parts.join("\n");
}

function blobs({ blobs, bytes }: { readonly blobs: number; readonly bytes: number }): string {
  return `${counted(blobs, "blob")} (${formatBytes(bytes)})`;
}
