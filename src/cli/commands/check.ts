import type { Command } from "commander";
import type { Snapshot } from "../../repository/index.ts";
import { formatAge, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { newCommand, type RepositoryOption, repositoryOption } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { formatTable } from "../output/table.ts";
import { parseAge } from "../policy-config.ts";

interface Options extends RepositoryOption {
  readonly maxAge: number;
  readonly name?: string;
}

/** Clocks of two machines differ by less. */
const AHEAD_MS = 300_000;

/** How old the newest snapshot of a source is. */
interface Checked {
  readonly source: string;
  readonly id?: string;
  /** The newest that does not lie in the future. */
  readonly snapshot?: string;
  readonly createdAt?: Date;
  readonly ageMs?: number;
  readonly overdue: boolean;
}

export function checkCommand(): Command {
  return newCommand("check", {
    summary: "Check whether the newest snapshots are recent enough.",
    description:
      "For monitoring. Looks at the newest snapshot of each database in the repository, or of the databases that are named. Exit code 1 if one is older than --max-age, or missing. Snapshots dated in the future do not count. Only reads the repository. To check whether snapshots are whole, use verify.",
    examples: [
      "check --max-age 26h --repo ./vault",
      "check data/lancedb-table --max-age 2d --name nightly --json",
    ],
    json: "{ ok, maxAgeMs, sources: [{ source, id?, snapshot?, createdAt?, ageMs?, overdue }] }",
  })
    .argument("[database...]", "Databases: directories, addresses or ids. Default: all in the repository.")
    .addOption(repositoryOption())
    .requiredOption("--max-age <time>", "How old a newest snapshot may be: 26h, 2d, ….", parseAge)
    .option("--name <name>", "Only snapshots of this name count.")
    .action(handle(run));
}

async function run(context: Context, databases: string[], options: Options): Promise<Answer> {
  const { maxAge: maxAgeMs, name } = options;
  const readOnly = { ...context, options: { ...context.options, readOnly: true } };
  await using repository = await openRepository(readOnly, options);
  const now = Date.now();
  const sources: Checked[] = [];
  if (databases.length === 0) {
    for (const [key, group] of bySource(await repository.list({ name }))) {
      const { id, uri } = JSON.parse(key) as { id: string; uri: string };
      sources.push({ id, ...ageOf(uri, group, now, maxAgeMs) });
    }
    if (sources.length === 0) sources.push({ source: repository.location, overdue: true });
  }
  for (const source of databases) {
    sources.push(ageOf(source, await repository.list({ name, source }), now, maxAgeMs));
  }
  const ok = sources.every(({ overdue }) => !overdue);
  return {
    json: { ok, maxAgeMs, sources },
    text: tableOf(context, sources),
    exitCode: ok ? EXIT.done : EXIT.failed,
  };
}

/** @param snapshots the newest first; by the place that the newest of each source had. */
function bySource(snapshots: readonly Snapshot[]): Map<string, Snapshot[]> {
  const keys = new Map<string, string>();
  const groups = new Map<string, Snapshot[]>();
  for (const snapshot of snapshots) {
    for (const { source } of snapshot.parts) {
      const which = JSON.stringify([source.type, source.id]);
      const key = keys.get(which) ?? JSON.stringify({ id: source.id, uri: source.uri });
      keys.set(which, key);
      groups.set(key, [...(groups.get(key) ?? []), snapshot]);
    }
  }
  return groups;
}

function ageOf(source: string, snapshots: readonly Snapshot[], now: number, maxAgeMs: number): Checked {
  const newest = snapshots.find(({ createdAt }) => createdAt.getTime() <= now + AHEAD_MS);
  if (!newest) return { source, overdue: true };
  const { id: snapshot, createdAt } = newest;
  const ageMs = Math.max(0, now - createdAt.getTime());
  return { source, snapshot, createdAt, ageMs, overdue: ageMs > maxAgeMs };
}

function tableOf({ terminal }: Context, sources: readonly Checked[]): string {
  return formatTable(
    terminal,
    [
      {
        title: "STATE",
        value: ({ overdue }) => (overdue ? "overdue" : "ok"),
        style: ({ overdue }) => (overdue ? "red" : "green"),
      },
      { title: "NEWEST", value: ({ createdAt }) => (createdAt ? formatTime(createdAt) : "none") },
      { title: "AGE", value: ({ createdAt }) => (createdAt ? formatAge(createdAt) : "") },
      { title: "SOURCE", value: ({ source }) => printable(source), least: 8, keep: "end" },
    ],
    sources,
  );
}
