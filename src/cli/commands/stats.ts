import type { Command } from "commander";
import type { BlobCount, RepositoryStats, SourceRoom } from "../../repository/index.ts";
import { counted, formatBytes, formatCount, formatTime } from "../../util/format.ts";
import { newCommand, type RepositoryOption, repositoryOption } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { formatPairs, formatTable } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";
import { addRetentionOptions, policyOf, type RetentionOptions } from "../retention-options.ts";

interface Options extends RepositoryOption, RetentionOptions {}

export function statsCommand(): Command {
  const command = newCommand("stats", {
    summary: "Show what takes up space in a repository.",
    description:
      "Shows how many bytes the newest snapshots need, how many only older ones need, and how many no snapshot needs, also for each source, and what a prune with the given rules would free. Reads the snapshots' documents, not their blobs.",
    examples: ["stats --repo ./vault", "stats --keep-daily 7 --keep-weekly 4"],
    json: `{ snapshots, all: { blobs, bytes }, newest, history, orphans: the same, sources: [{ source: { type, id, uri, host }, snapshots, oldest, newest,
all, current, own }], unreadable: [id], prune?: { removed, now, later } }`,
  }).addOption(repositoryOption());
  return addRetentionOptions(command).action(handle(run));
}

async function run(context: Context, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const stats = await repository.stats({ policy: policyOf(options), signal: context.signal });
  return { json: stats, text: describe(context.terminal, stats) };
}

function describe(terminal: Terminal, stats: RepositoryStats): string {
  const { snapshots, all, newest, history, orphans, sources, unreadable, prune } = stats;
  const parts = [
    formatPairs(terminal, [
      ["Snapshots", formatCount(snapshots)],
      ["Stored", room(all)],
      ["Newest", `${room(newest)}: needed by the newest snapshot of each source`],
      ["History", `${room(history)}: needed only by older snapshots`],
      ["Orphans", `${room(orphans)}: not needed by any snapshot`],
    ]),
  ];
  if (sources.length > 0) parts.push(tableOf(terminal, sources));
  if (unreadable.length > 0) {
    parts.push(
      `${counted(unreadable.length, "snapshot")} cannot be read (${unreadable.join(", ")}): what they need counts as orphans, and a prune frees nothing. verify tells more.`,
    );
  }
  if (prune) {
    const { removed, now, later } = prune;
    parts.push(
      `A prune would remove ${counted(removed, "snapshot")}, free ${room(now)} now, and ${room(later)} after the grace period.`,
    );
  }
  return parts.join("\n\n");
}

function tableOf(terminal: Terminal, sources: readonly SourceRoom[]): string {
  return formatTable(
    terminal,
    [
      { title: "SOURCE", value: ({ source }) => source.uri, least: 8, keep: "end", style: () => "cyan" },
      { title: "SNAPSHOTS", value: (one) => formatCount(one.snapshots), align: "right" },
      { title: "OLDEST", value: ({ oldest }) => formatTime(oldest) },
      { title: "ALL", value: (one) => formatBytes(one.all.bytes), align: "right" },
      { title: "NEWEST", value: (one) => formatBytes(one.current.bytes), align: "right" },
      { title: "OWN", value: (one) => formatBytes(one.own.bytes), align: "right" },
    ],
    sources,
  );
}

function room({ blobs, bytes }: BlobCount): string {
  return `${formatBytes(bytes)} (${counted(blobs, "blob")})`;
}
