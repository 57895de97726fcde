import { constants, existsSync } from "node:fs";
import { access } from "node:fs/promises";
import { dirname } from "node:path";
import { REPOSITORY } from "../engine/format/names.ts";
import { isError, reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import { openStorage } from "../repository/index.ts";
import { nextDue } from "./due-times.ts";
import { assertMayBeMade, openPolicyRepository } from "./policy-repository.ts";
import type { PolicySettings } from "./policy-set.ts";
import { sourcesOf } from "./policy-sources.ts";
import { Histories, nextRunOf } from "./policy-status.ts";

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
/** How long a source may take to say whether it can be read. */
const CHECK_MS = 300_000;

/** Looks whether a policy could run, and when it does. Changes nothing. */
export async function checkPolicy(
  settings: PolicySettings,
  logger: Logger,
  now = Date.now(),
): Promise<PolicyCheck> {
  const { name: policy, storage, enabled } = settings;
  const [problems, notes]: [string[], string[]] = [[], []];
  if (!enabled) notes.push("it is not enabled");
  await checkSources(settings, problems, notes);
  const history = await checkRepository(settings, { logger, now }, problems, notes);
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

async function checkSources(
  { sources, allowEmpty }: PolicySettings,
  problems: string[],
  notes: string[],
): Promise<void> {
  for (const section of sources) {
    // Each alone: what is wrong with one does not hide what is with the others.
    try {
      for (const source of await sourcesOf([section])) {
        const found = await source.check?.({ allowEmpty, signal: AbortSignal.timeout(CHECK_MS) });
        if (found !== undefined) notes.push(found);
      }
    } catch (error) {
      problems.push(
        isError(error) && error.name === "TimeoutError"
          ? `${section.type}: it did not answer in time`
          : reasonOf(error),
      );
    }
  }
}

async function checkRepository(
  settings: PolicySettings,
  { logger, now }: { readonly logger: Logger; readonly now: number },
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
    const history = new Histories(await repository.list()).of(settings, "to run", now);
    if (directory !== undefined) await access(directory, constants.W_OK);
    else await storage.assertWritable?.(REPOSITORY);
    return history;
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
