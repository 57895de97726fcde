import { type Command, InvalidArgumentError } from "commander";
import type { AuditEntry, AuditPoint, AuditReport } from "../../repository/index.ts";
import { counted, formatDuration, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { collect, momentArgument, parseCount } from "../arguments.ts";
import { newCommand, type RepositoryOption, repositoryOption } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { formatTable } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends RepositoryOption {
  readonly operation?: string[];
  readonly before?: Date;
  readonly after?: Date;
  readonly limit?: number;
  readonly restores?: boolean;
  readonly verify?: boolean;
  readonly expect?: AuditPoint;
}

export function auditCommand(): Command {
  return newCommand("audit", {
    summary: "Show who did what in a repository, or check that no entry is missing or changed.",
    description:
      "Lists the audit log, newest entry first: who did what, when, and how it ended. Each entry holds the digest of the entry before it. --verify checks the log instead: exit code 3 if entries are missing, changed or duplicated. It prints the newest entry: keep that elsewhere, and pass it later as --expect to prove that the log was not rolled back. In a bucket, successful backups are not logged; list shows them.",
    examples: [
      "audit --repo ./vault",
      "audit --restores --after 30d",
      "audit --operation prune --operation delete --limit 20",
      "audit --verify",
    ],
    json: `[{ number, previous, sha256, at, operation, outcome, durationMs, actor: { user, host, name? }, software, details }], the newest first;
with --restores [{ snapshot, at, durationMs, outcome, user, host, actor?, targets, mode?, files?, bytes?, error? }];
with --verify { ok, entries, forgottenThrough, newest?: { number, sha256 }, problems: [{ kind, number, details }] }`,
  })
    .addOption(repositoryOption())
    .option(
      "--operation <name>",
      "Only this operation, such as restore; may be given several times.",
      collect,
    )
    .option("--before <moment>", 'Only older ones: "2026-11-21 02:30", or 2h, 3d, 1w ago.', momentArgument)
    .option("--after <moment>", "Only from this time on.", momentArgument)
    .option("--limit <count>", "Only this many, the newest.", parseCount)
    .option("--restores", "List restores only, with their results.")
    .option("--verify", "Check the log.")
    .option("--expect <entry>", "With --verify: an entry that must exist, as <number>:<SHA-256>.", parsePoint)
    .action(handle(run));
}

async function run(context: Context, options: Options): Promise<Answer> {
  const { operation: operations, before, after, limit, restores, verify, expect } = options;
  const { signal, terminal } = context;
  const isFiltered = [operations, before, after, limit, restores].some((value) => value !== undefined);
  if (verify && isFiltered) throw new UsageError("--verify checks the whole log.");
  if (expect && !verify) throw new UsageError("--expect needs --verify.");
  if (restores && operations) throw new UsageError("--restores and --operation cannot be used together.");
  await using repository = await openRepository(context, options);
  if (verify) {
    const report = await repository.verifyAudit({ expect, signal });
    return { json: report, text: verdict(terminal, report), exitCode: report.ok ? EXIT.done : EXIT.damage };
  }
  const filter = { before, after, limit, signal };
  if (restores) {
    const entries = await repository.audit({ ...filter, operations: ["restore"] });
    return { json: await repository.restores(filter), text: table(terminal, entries) };
  }
  const entries = await repository.audit({ ...filter, operations });
  return { json: entries, text: table(terminal, entries) };
}

function table(terminal: Terminal, entries: readonly AuditEntry[]): string {
  if (entries.length === 0) return "There is no such entry.";
  return formatTable(
    terminal,
    [
      { title: "ENTRY", value: ({ number }) => String(number), align: "right" },
      { title: "TIME", value: ({ at }) => formatTime(at) },
      { title: "WHO", value: whoOf },
      { title: "WHAT", value: ({ operation }) => operation },
      {
        title: "OUTCOME",
        value: ({ outcome }) => outcome,
        style: ({ outcome }) => (outcome === "success" ? "green" : "red"),
      },
      { title: "TOOK", value: ({ durationMs }) => formatDuration(durationMs), align: "right" },
      { title: "DETAILS", value: detailsOf, least: 24, wrap: true },
    ],
    entries,
  );
}

function whoOf({ actor: { user, host, name } }: AuditEntry): string {
  return printable(name === undefined ? `${user}@${host}` : `${name} (${user}@${host})`);
}

/** `snapshot 20261105T… targets /back`. */
function detailsOf({ details }: AuditEntry): string {
  return Object.entries(details)
    .map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .map(printable)
    .join(", ");
}

function verdict(terminal: Terminal, report: AuditReport): string {
  const { ok, entries, forgottenThrough, newest, problems } = report;
  const lines = problems.map(
    ({ kind, details }) => `${terminal.style("red", kind.toUpperCase())}  ${printable(details)}`,
  );
  const forgotten =
    forgottenThrough > 0 ? ` (entries up to ${forgottenThrough} were removed because of their age)` : "";
  lines.push(
    ok
      ? terminal.style(
          "green",
          `The audit log is complete: ${counted(entries, "entry").replace(/entrys$/, "entries")}${forgotten}.`,
        )
      : terminal.style("red", `The audit log is not complete: ${counted(problems.length, "problem")}.`),
  );
  if (newest)
    lines.push(`Keep this elsewhere, to check the log later: --expect ${newest.number}:${newest.sha256}`);
  return lines.join("\n");
}

function parsePoint(value: string): AuditPoint {
  const [, number, sha256 = ""] = /^([1-9]\d{0,9}):([0-9a-f]{64})$/.exec(value) ?? [];
  if (number === undefined)
    throw new InvalidArgumentError("It must be an entry's number, a colon, and its SHA-256: 12:9f86d0…");
  return { number: Number(number), sha256 };
}
