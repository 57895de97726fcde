import { reasonOf } from "../fs/io.ts";
import type { BackupService } from "../policy/backup-service.ts";
import { FULL_TAG, type RunReport } from "../policy/run-policy.ts";
import type { AuditEntry, Snapshot } from "../repository/index.ts";
import { counted, formatBytes } from "../util/format.ts";
import type { PastRun, RunKind } from "./page-state.ts";
import type { Content } from "./repository-content.ts";

/**
 * What was done, the newest first, by all that tells of it: of what several tell of, once.
 *
 * @param remembered what the service itself knows of.
 * @param retryWindowMs for how long a policy's failed backup is tried again: attempts within it are one run.
 */
export function runsIn(
  contents: readonly Content[],
  remembered: readonly PastRun[],
  retryWindowMs: (policy: string) => number,
): PastRun[] {
  const snapshots = contents.flatMap((content) => content.snapshots);
  const entries = contents.flatMap((content) => content.entries);
  const { runs, askedBy } = recordedRuns(entries, policiesOf(snapshots, entries));
  const backups = snapshots.map((snapshot) => ({ ...runOf(snapshot), by: askedBy.get(snapshot.id) }));
  const isThere = new Set(snapshots.map(({ id }) => id));
  const askers = new Map<PastRun, string | undefined>();
  const untold = entries.filter((entry) => {
    const told = toldOf(entry, remembered);
    if (told) askers.set(told, entry.actor.name);
    return !told;
  });
  const rest = remembered
    .filter(
      ({ kind, outcome, snapshot }) =>
        !isBackup(kind) || outcome !== "success" || !isThere.has(snapshot ?? ""),
    )
    .map((run) => ({ ...run, by: run.by ?? askers.get(run) }));
  const failures = failedRuns(untold, backups, retryWindowMs);
  const all = [...backups, ...failures, ...eachOnce(runs, rest)];
  return all.sort((a, b) => b.at.getTime() - a.at.getTime());
}

/** A run of the service that has ended. */
export function reportedRun(report: RunReport): PastRun {
  const {
    policy,
    type,
    outcome,
    endedAt: at,
    durationMs,
    snapshot,
    verification,
    prune,
    error,
    step,
  } = report;
  const kind = kindOf({ type, step }, verification ? "verify" : prune ? "prune" : undefined);
  const { id, bytes, newBytes } = snapshot ?? {};
  const details =
    outcome !== "success"
      ? reasonOf(error)
      : prune && !snapshot
        ? pruned({ removed: prune.removed.length })
        : undefined;
  // Of one that another process does nobody is told.
  const shown = outcome === "skipped" ? "aborted" : outcome;
  return { policy, kind, at, outcome: shown, durationMs, snapshot: id, bytes, newBytes, details };
}

/** What failed on this machine before now, the oldest first. */
export function failedBefore(service: BackupService): PastRun[] {
  const runs = service.policies.names.flatMap((policy) =>
    service.failedRuns(policy).map(({ at, durationMs, type, step, snapshot, error }): PastRun => {
      const kind = kindOf({ type, step });
      return { policy, kind, at: new Date(at), outcome: "failure", durationMs, snapshot, details: error };
    }),
  );
  return runs.sort((a, b) => a.at.getTime() - b.at.getTime());
}

/** What a run is shown as. A backup that went well is known by its snapshot: what failed behind it is told. */
function kindOf(
  { type, step }: Pick<RunReport, "type" | "step">,
  otherwise: RunKind = "incremental",
): RunKind {
  return (step === "backup" ? undefined : step) ?? type ?? otherwise;
}

function isBackup(kind: PastRun["kind"]): boolean {
  return kind === "full" || kind === "incremental";
}

function runOf({ id, name = "", tags, createdAt, durationMs, bytes, newBytes }: Snapshot): PastRun {
  const kind = tags.includes(FULL_TAG) ? "full" : "incremental";
  return { policy: name, kind, at: createdAt, outcome: "success", durationMs, snapshot: id, bytes, newBytes };
}

/** Whose snapshots those are that there are, and those that were there, as far as the log tells, by their ids. */
function policiesOf(
  snapshots: readonly Snapshot[],
  entries: readonly AuditEntry[],
): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const { details } of entries) {
    const { name, snapshot, snapshots: removed } = details;
    if (typeof name !== "string") continue;
    for (const id of Array.isArray(removed) ? [...removed, snapshot] : [snapshot]) {
      if (typeof id === "string") names.set(id, name);
    }
  }
  for (const { id, name } of snapshots) if (name !== undefined) names.set(id, name);
  return names;
}

/** The verifications, restores and prunes that an audit log tells of; who took which snapshot is in `askedBy`. */
function recordedRuns(
  entries: readonly AuditEntry[],
  policies: ReadonlyMap<string, string>,
): { readonly runs: readonly PastRun[]; readonly askedBy: ReadonlyMap<string, string> } {
  const askedBy = new Map<string, string>();
  const runs = entries.flatMap((entry): PastRun[] => {
    const { operation, at, outcome, durationMs, actor, details } = entry;
    const [snapshot, name] = [textOf(details["snapshot"]), textOf(details["name"])];
    if (operation === "backup") {
      if (snapshot !== undefined && actor.name !== undefined) askedBy.set(snapshot, actor.name);
      return [];
    }
    const policy = snapshot === undefined ? name : policies.get(snapshot);
    if (policy === undefined) return [];
    const run = { policy, at, durationMs, snapshot, by: actor.name };
    if (operation === "verify") return [{ ...run, kind: "verify", ...checked(outcome, details) }];
    if (operation === "restore") return [{ ...run, kind: "restore", outcome, details: restored(details) }];
    if (operation !== "prune" || isIdle(entry)) return [];
    return [{ ...run, kind: "prune", outcome, details: pruned(details) }];
  });
  return { runs, askedBy };
}

/** Behind nearly every backup is a prune that finds nothing to do. */
function isIdle({ outcome, details: { removed, freed } }: AuditEntry): boolean {
  const blobs = typeof freed === "object" && freed !== null && "blobs" in freed ? freed.blobs : 0;
  return outcome === "success" && removed === 0 && blobs === 0;
}

/** The failed run that the service itself tells of, in words; its attempts are an entry each. */
function toldOf(
  { operation, outcome, at, details }: AuditEntry,
  remembered: readonly PastRun[],
): PastRun | undefined {
  if (operation !== "backup" || outcome === "success") return undefined;
  const near = remembered.filter(
    (run) =>
      run.policy === details["name"] &&
      run.outcome !== "success" &&
      at.getTime() >= run.at.getTime() - (run.durationMs ?? 0) - NEAR_MS &&
      at.getTime() <= run.at.getTime() + NEAR_MS,
  );
  return near.find(({ kind }) => isBackup(kind)) ?? near[0];
}

/** Backups that failed, or were stopped: attempts of one run are one, and none where the run came to a snapshot. */
function failedRuns(
  entries: readonly AuditEntry[],
  backups: readonly PastRun[],
  retryWindowMs: (policy: string) => number,
): PastRun[] {
  const failed = entries
    .filter(({ operation, outcome }) => operation === "backup" && outcome !== "success")
    .sort((a, b) => a.at.getTime() - b.at.getTime());
  const begunAt = ({ at, durationMs = 0 }: PastRun) => at.getTime() - durationMs;
  const runs = new Map<string, PastRun[]>();
  for (const { at, durationMs, outcome, actor, details } of failed) {
    const policy = textOf(details["name"]);
    if (policy === undefined) continue;
    const kind = details["kind"] === "full" ? "full" : "incremental";
    const run = {
      policy,
      kind,
      at,
      outcome,
      durationMs,
      by: actor.name,
      details: textOf(details["error"]),
    } as const;
    const own = runs.get(policy) ?? [];
    runs.set(policy, own);
    const last = own.at(-1);
    const begun = last && begunAt(last);
    if (begun === undefined || begunAt(run) > begun + retryWindowMs(policy)) own.push(run);
    else own[own.length - 1] = { ...run, durationMs: at.getTime() - begun };
  }
  const taken = Map.groupBy(backups, ({ policy }) => policy);
  return [...runs].flatMap(([policy, own]) => {
    const moments = (taken.get(policy) ?? []).map(({ at }) => at.getTime());
    const cameTo = (run: PastRun) =>
      moments.some((at) => at >= begunAt(run) && at <= begunAt(run) + retryWindowMs(policy));
    return own.filter((run) => !cameTo(run));
  });
}

/** Of what is recorded and remembered, one: of what failed, what the service remembers says why in words, and the record who asked. */
function eachOnce(recorded: readonly PastRun[], remembered: readonly PastRun[]): PastRun[] {
  const byPolicy = Map.groupBy(recorded, ({ policy }) => policy);
  const untold = new Set(recorded);
  const rest = remembered.flatMap((remembering) => {
    const { policy, kind, at, durationMs = 0, outcome } = remembering;
    // An entry is made where a run ends, or just before.
    const same = byPolicy.get(policy)?.find((run) => {
      const before = at.getTime() - run.at.getTime();
      return run.kind === kind && untold.has(run) && Math.abs(before) <= durationMs + NEAR_MS;
    });
    if (!same) return [remembering];
    if (outcome === "success") return [];
    untold.delete(same);
    return [{ ...remembering, by: remembering.by ?? same.by }];
  });
  return [...untold, ...rest];
}

const NEAR_MS = 5000;

function checked(outcome: PastRun["outcome"], { checks, failed, error }: AuditEntry["details"]) {
  if (outcome !== "success") return { outcome, details: textOf(error) };
  if (typeof failed === "number" && failed > 0) {
    return { outcome: "failure", details: `${counted(failed, "check")} found damage.` } as const;
  }
  return { outcome, details: typeof checks === "number" ? `${counted(checks, "check")} passed.` : undefined };
}

function restored({ targets, bytes, error }: AuditEntry["details"]): string | undefined {
  const where = Array.isArray(targets) ? `into ${targets.map(String).join(", ")}` : "";
  if (error !== undefined) return `${textOf(error) ?? ""} ${where}`.trim();
  return typeof bytes === "number" ? `${formatBytes(bytes)} ${where}.` : where;
}

function pruned({ removed, error }: AuditEntry["details"]): string | undefined {
  return typeof removed === "number" ? `${counted(removed, "snapshot")} removed.` : textOf(error);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
