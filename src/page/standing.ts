import type { PolicyStatus } from "../policy/policy-status.ts";
import type { Overview, PolicyState } from "./page-state.ts";

/** How a policy stands, and why. */
export function stateOf(status: PolicyStatus): {
  readonly state: PolicyState;
  readonly why?: string | undefined;
} {
  const {
    enabled,
    running,
    consecutiveFailures = 0,
    lastError,
    lastVerify,
    overdue,
    reason,
    lastSuccess,
  } = status;
  const why = lastError ?? reason;
  if (running) return { state: "running", why };
  if (lastVerify?.ok === false) return { state: "damaged", why };
  if (consecutiveFailures > 0) return { state: "failed", why };
  if (!enabled) return { state: "off" };
  if (!lastSuccess) return { state: "new", why };
  return overdue ? { state: "overdue", why } : { state: "well" };
}

/** What runs next of all, the soonest first. */
export function soonest(statuses: readonly PolicyStatus[], count: number): Overview["coming"] {
  return statuses
    .flatMap(({ policy, nextRun: at, running }) => (at && !running ? [{ policy, at }] : []))
    .sort((a, b) => a.at.getTime() - b.at.getTime())
    .slice(0, count);
}
