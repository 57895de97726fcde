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

/** What runs next of all. */
export function soonest(statuses: readonly PolicyStatus[]): Overview["nextRun"] {
  let next: { policy: string; at: Date } | undefined;
  for (const { policy, nextRun: at } of statuses) {
    if (at && (!next || at < next.at)) next = { policy, at };
  }
  return next;
}
