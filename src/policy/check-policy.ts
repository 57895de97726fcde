import { constants, existsSync } from "node:fs";
import { access } from "node:fs/promises";
import { dirname } from "node:path";
import { REPOSITORY } from "../engine/format/names.ts";
import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import { openStorage } from "../repository/index.ts";
import { nextDue } from "./due-times.ts";
import { assertMayBeMade, openPolicyRepository } from "./policy-repository.ts";
import type { PolicySettings } from "./policy-set.ts";
import { sourcesOf } from "./policy-sources.ts";
import { historiesOf, nextRunOf } from "./policy-status.ts";

/** Whether a policy could run now. */
export interface PolicyCheck {
  readonly policy: string;
  readonly location: string;
  readonly ok: boolean;
  /** How many snapshots of it there are; undefined where that cannot be read. */
  readonly snapshots?: number | undefined;
  /** Why it could not run. */
  readonly problems: readonly string[];
  readonly notes: readonly string[];
  /** Without jitter. */
  readonly nextRuns: readonly Date[];
}

const MOST_RUNS = 3;

/** Looks whether a policy could run, and when it does. Changes nothing. */
export async function checkPolicy(
  settings: PolicySettings,
  logger: Logger,
  now = Date.now(),
): Promise<PolicyCheck> {
  const { name: policy, storage, enabled } = settings;
  const [problems, notes]: [string[], string[]] = [[], []];
  if (!enabled) notes.push("it is not enabled");
  await checkSources(settings, problems);
  const history = await checkRepository(settings, logger, problems, notes);
  const last = {
    any: history?.newest?.createdAt.getTime(),
    full: history?.newestFull?.createdAt.getTime(),
  };
  const nextRuns = enabled ? runsFrom(settings, last, now) : [];
  return {
    ...{ policy, location: storage.location, ok: problems.length === 0 },
    ...(history && { snapshots: history.count }),
    ...{ problems, notes, nextRuns },
  };
}

async function checkSources({ sources }: PolicySettings, problems: string[]): Promise<void> {
  try {
    await sourcesOf(sources);
  } catch (error) {
    problems.push(reasonOf(error));
  }
  const paths = sources.flatMap((source) => {
    if (source.type === "files" || source.type === "filesystem") return source.paths;
    return "path" in source ? [source.path] : [];
  });
  for (const path of paths) {
    await access(path, constants.R_OK).catch((error: unknown) => {
      problems.push(`${path} cannot be read: ${reasonOf(error)}`);
    });
  }
}

async function checkRepository(
  settings: PolicySettings,
  logger: Logger,
  problems: string[],
  notes: string[],
) {
  const { location, create } = settings.storage;
  try {
    const storage = await openStorage(location);
    const directory = storage.local?.root;
    if (!(await storage.stat(REPOSITORY))) {
      assertMayBeMade(storage, create);
      notes.push(`there is no repository at ${location}; the first run makes it`);
      if (directory !== undefined) await access(nearestOf(directory), constants.W_OK);
      return undefined;
    }
    const repository = await openPolicyRepository(settings, logger);
    const history = historiesOf(await repository.list()).get(settings.name);
    if (directory !== undefined) await access(directory, constants.W_OK);
    return history ?? { count: 0 };
  } catch (error) {
    problems.push(reasonOf(error));
    return undefined;
  }
}

/** The directory itself, or the nearest above it that there is. */
function nearestOf(directory: string): string {
  const above = dirname(directory);
  return existsSync(directory) || above === directory ? directory : nearestOf(above);
}

function runsFrom(settings: PolicySettings, last: Parameters<typeof nextRunOf>[1], now: number): Date[] {
  const { full, incremental } = settings.schedule;
  const first = nextRunOf(settings, last, now);
  if (first === undefined) return [];
  const runs = [Math.max(first, now)];
  while (runs.length < MOST_RUNS) {
    const from = runs.at(-1) ?? now;
    const next = [full, incremental].flatMap((schedule) => (schedule ? [nextDue(schedule, from, from)] : []));
    runs.push(Math.min(...next));
  }
  return runs.map((time) => new Date(time));
}
