import { type Command, Option } from "commander";
import { IoError } from "../../errors.ts";
import type { CopyReport } from "../../repository/index.ts";
import { counted, formatBytes, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { collect, momentArgument, parseNumber } from "../arguments.ts";
import {
  type LimitOptions,
  limitOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
  type SourceOption,
  sourceFrom,
} from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { idsShown } from "../output/short-ids.ts";
import { formatTable } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";
import { displayOf } from "../progress-display.ts";

interface Options extends RepositoryOption, LimitOptions, SourceOption {
  readonly name?: string;
  readonly tag?: string[];
  readonly before?: Date;
  readonly after?: Date;
  readonly labels?: boolean;
  readonly dryRun?: boolean;
  readonly lockTimeout?: number;
}

export function copyCommand(): Command {
  const command = newCommand("copy", {
    summary: "Copy snapshots to another repository.",
    description:
      "Copies the snapshots that the other repository does not have, oldest first, each whole or not at all. Data that is already there is not sent again. Every file is compared with its SHA-256 on the way. If it is interrupted, the next run continues. Exit code 3 if snapshots are damaged; the others are copied. --read-only applies to the repository that is copied from.",
    examples: [
      "copy s3://my-bucket/backups?region=eu-central-1 --repo ./vault",
      "copy /mnt/usb/vault --repo ./vault --tag monthly --dry-run",
    ],
    json: `{ dryRun, copied: [{ snapshot, storedBytes }], present: [id], failed: [{ snapshot: id, error }], labelled?: [id], durationMs };
snapshot in copied as in list`,
  })
    .argument("<to>", "The other repository's directory or address; make it with init.")
    .addOption(repositoryOption())
    .option("--name <name>", "Only snapshots with this name.")
    .option("--source <database>", "Only snapshots of this database: its directory or its id.")
    .option("--tag <tag>", "Only snapshots with this tag; if given several times, with all of them.", collect)
    .option("--before <moment>", 'Only older ones: "2026-11-21 02:30", or 2h, 3d, 1w ago.', momentArgument)
    .option("--after <moment>", "Only from this time on.", momentArgument)
    .option("--labels", "Also copy pins and tags that were set after the snapshot. None are removed there.")
    .option("-n, --dry-run", "Show what would be copied, and write nothing.")
    .addOption(
      new Option("--lock-timeout <seconds>", "How long to wait for a prune in either repository.")
        .argParser(parseNumber)
        .default(30),
    )
    .action(handle(run));
  for (const option of limitOptions()) command.addOption(option);
  return command;
}

async function run(context: Context, to: string, options: Options): Promise<Answer> {
  const { name, tag: tags, before, after, labels, dryRun, lockTimeout = 30 } = options;
  // Each rate for the one that it is about.
  const { limitUpload, limitDownload, ...named } = options;
  await using from = await openRepository(context, { ...named, ...(limitDownload && { limitDownload }) });
  const writable = { ...context, options: { ...context.options, readOnly: false } };
  await using target = await openRepository(writable, { repo: to, ...(limitUpload && { limitUpload }) });
  context.interrupt.describe(
    "Every snapshot that the other repository lists is complete. The next copy continues from what was stored.",
  );
  const progress = await displayOf(context);
  const report = await from
    .copy(target, {
      ...{ name, source: sourceFrom(options), tags, before, after, labels, dryRun },
      lockTimeoutMs: lockTimeout * 1000,
      signal: context.signal,
      onProgress: progress.onProgress,
    })
    .finally(progress.end);
  return {
    json: report,
    done: report.dryRun ? "" : `${counted(report.copied.length, "snapshot")} copied.`,
    text: describe(context.terminal, report, target.location),
    exitCode: exitCodeOf(report),
  };
}

function exitCodeOf({ failed }: CopyReport): ExitCode {
  if (failed.length === 0) return EXIT.done;
  // What a disk does not give back is no proof of damage.
  return failed.every(({ error }) => error instanceof IoError) ? EXIT.failed : EXIT.damage;
}

function describe(terminal: Terminal, report: CopyReport, to: string): string {
  const { dryRun, copied, present, failed, labelled } = report;
  const shown = idsShown(
    terminal,
    copied.map(({ snapshot }) => snapshot),
  );
  const parts: string[] = [];
  if (copied.length > 0) {
    parts.push(
      formatTable(
        terminal,
        [
          { title: "SNAPSHOT", value: ({ snapshot }) => shown(snapshot.id), style: () => "cyan" },
          { title: "TIME", value: ({ snapshot }) => formatTime(snapshot.createdAt) },
          { title: "NAME", value: ({ snapshot }) => snapshot.name ?? "" },
          { title: "SIZE", value: ({ snapshot }) => formatBytes(snapshot.bytes), align: "right" },
          { title: "STORED", value: storedIn(dryRun), align: "right" },
          { title: "SOURCE", value: ({ snapshot }) => snapshot.source.uri, least: 8, keep: "end" },
        ],
        copied,
      ),
      "",
    );
  }
  for (const { snapshot, error } of failed) {
    parts.push(`${terminal.style("red", "Not copied")}: ${snapshot}: ${printable(error.message)}`);
  }
  const verb = dryRun ? "to copy" : "copied";
  const labels = labelled?.length
    ? ` Pins and tags of ${counted(labelled.length, "snapshot")} went along.`
    : "";
  const rest = failed.length > 0 ? `; ${counted(failed.length, "snapshot")} could not be` : "";
  parts.push(
    `${counted(copied.length, "snapshot")} ${verb} to ${printable(to)}, ${present.length} there already${rest}.${labels}`,
  );
  return parts.join("\n");
}

function storedIn(dryRun: boolean): (one: CopyReport["copied"][number]) => string {
  return ({ storedBytes }) => (dryRun ? "" : formatBytes(storedBytes));
}
