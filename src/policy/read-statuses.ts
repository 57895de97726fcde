import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import { type AuditedRuns, auditedStatus, readAuditedRuns } from "./audited-runs.ts";
import type { OpenRepositories } from "./policy-repository.ts";
import type { PolicySettings } from "./policy-set.ts";
import { type PolicyHistory, type PolicyStatus, statusOf } from "./policy-status.ts";
import type { ServiceState } from "./service-state.ts";
import type { WatchedPolicy } from "./watched-policy.ts";

interface StatusContext {
  readonly repositories: OpenRepositories;
  readonly state: ServiceState;
  readonly logger: Logger;
  readonly now: () => number;
  readonly maxAgeMs: number | undefined;
  /** Whether the service is at work: then it knows when it runs what, and what failed, and asks no log for it. */
  readonly isAtWork: boolean;
}

/** How policies stand. Repositories are only read, each once. */
export function readStatuses(
  policies: readonly WatchedPolicy[],
  context: StatusContext,
): Promise<PolicyStatus[]> {
  const { repositories, state, now, maxAgeMs, isAtWork } = context;
  const histories = once((settings) => repositories.histories(settings));
  const logs = once((settings) => readLog(settings, context));
  const why = isAtWork ? "to run" : "to tell";
  const all = policies.map(async (watched): Promise<PolicyStatus> => {
    const { settings, running } = watched;
    const nextRun = isAtWork ? watched.nextBackup(now()) : undefined;
    const own = { ...(nextRun && { nextRun }), running: running !== undefined, ...state.statusOf(settings) };
    const status = (found: PolicyHistory) => statusOf(settings, found, now(), maxAgeMs);
    try {
      const told = { ...status((await histories(settings)).of(settings, why, now())), ...own };
      if (isAtWork || state.knows(settings)) return told;
      const log = await logs(settings);
      return log ? { ...told, ...auditedStatus(settings, log, told.lastSuccess) } : told;
    } catch (error) {
      return { ...status({ count: 0 }), overdue: settings.enabled, reason: reasonOf(error), ...own };
    }
  });
  return Promise.all(all);
}

/** Of the repository that a policy has in common with others. */
function once<T>(read: (settings: PolicySettings) => Promise<T>): (settings: PolicySettings) => Promise<T> {
  const known = new Map<string, Promise<T>>();
  return (settings) => {
    const { location } = settings.storage;
    const value = known.get(location) ?? read(settings);
    known.set(location, value);
    return value;
  };
}

/** Undefined where it cannot be read: an account may read snapshots alone. */
async function readLog(
  settings: PolicySettings,
  { repositories, logger }: StatusContext,
): Promise<AuditedRuns | undefined> {
  try {
    return await readAuditedRuns(await repositories.open(settings));
  } catch (error) {
    logger.debug("the audit log cannot be read", { reason: reasonOf(error) });
    return undefined;
  }
}
