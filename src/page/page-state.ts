import type { RunStep } from "../policy/run-policy.ts";
import type { Progress, PruneReport, Snapshot, SnapshotDetails } from "../repository/index.ts";

// What the page shows, and what may be asked of it: plain values, so that it can be looked at with made-up ones.

export const STATES = ["failed", "damaged", "overdue", "running", "new", "well", "off"] as const;

/** How a policy stands; those first that somebody has to look after. */
export type PolicyState = (typeof STATES)[number];

export type RunKind = "full" | "incremental" | "verify" | "prune" | "restore";

/** Something that was done, or tried. */
export interface PastRun {
  readonly policy: string;
  readonly kind: RunKind;
  /** When it ended. */
  readonly at: Date;
  readonly outcome: "success" | "failure" | "aborted";
  readonly durationMs?: number | undefined;
  readonly snapshot?: string | undefined;
  readonly bytes?: number | undefined;
  readonly newBytes?: number | undefined;
  /** Who asked for it; undefined: its schedule, or it is not known. */
  readonly by?: string | undefined;
  /** What went wrong, or what came of it. */
  readonly details?: string | undefined;
}

/** Something that is being done. */
export interface Work {
  readonly policy: string;
  readonly kind: RunKind;
  /** Of a run of several steps, the one that it is at. */
  readonly step?: RunStep | undefined;
  readonly startedAt: Date;
  readonly progress?: Progress | undefined;
  readonly by?: string | undefined;
}

/** What was done in one day. Removals that went well follow backups, and are not counted. */
export interface Day {
  /** Its midnight, on the clock of this machine. */
  readonly date: Date;
  readonly well: number;
  readonly failed: number;
}

export interface PolicyCard {
  readonly name: string;
  readonly description?: string | undefined;
  readonly state: PolicyState;
  /** What is wrong, where something is. */
  readonly why?: string | undefined;
  readonly location: string;
  /** As they were written, in the time zone. */
  readonly schedule: {
    readonly full?: string | undefined;
    readonly incremental?: string | undefined;
    readonly timeZone: string;
  };
  readonly sources: readonly string[];
  readonly lastSuccess?: Date | undefined;
  readonly nextRun?: Date | undefined;
  readonly lastVerify?: { readonly at: Date; readonly ok: boolean } | undefined;
  readonly snapshots: number;
  readonly bytes?: number | undefined;
  readonly newBytes?: number | undefined;
  /** The newest last. */
  readonly days: readonly Day[];
}

export interface Overview {
  readonly file: string;
  readonly now: Date;
  /** How many policies are in each state, whatever is sought. */
  readonly counts: ReadonlyMap<PolicyState, number>;
  /** What runs next, the soonest first; a few. */
  readonly coming: readonly { readonly policy: string; readonly at: Date }[];
  readonly search: string;
  /** From 1 on. */
  readonly page: number;
  readonly pages: number;
  /** Of this page of those that are sought, in the order of STATES. */
  readonly cards: readonly PolicyCard[];
  readonly work: readonly Work[];
  /** The newest first. */
  readonly runs: readonly PastRun[];
  /** Of all policies, the newest last. */
  readonly days: readonly Day[];
}

/** Which policies are to be shown. */
export interface OverviewAsked {
  /** Those whose names have this in them. */
  readonly search?: string | undefined;
  readonly page?: number | undefined;
}

export interface PolicyPage {
  readonly now: Date;
  readonly card: PolicyCard;
  readonly work: readonly Work[];
  readonly runs: readonly PastRun[];
  readonly days: readonly Day[];
  /** The newest first. */
  readonly snapshots: readonly Snapshot[];
}

export interface SnapshotPage {
  readonly now: Date;
  readonly policy: string;
  readonly work: readonly Work[];
  readonly snapshot: SnapshotDetails;
}

/** What the page needs of a service. Who asks for something is named, as their token is. */
export interface PageSource {
  overview(asked?: OverviewAsked): Promise<Overview>;
  /** Undefined where there is none; so is the next one. */
  policy(name: string): Promise<PolicyPage | undefined>;
  snapshot(policy: string, id: string): Promise<SnapshotPage | undefined>;
  work(): readonly Work[];
  /** What a prune would do now. @throws BackupError */
  prunePlan(policy: string): Promise<PruneReport>;
  /** Each begins something, and answers with what it began, in words. @throws BackupError */
  run(policy: string, type: "full" | "incremental", by: string): string;
  verify(policy: string, by: string): string;
  prune(policy: string, by: string): string;
  verifySnapshot(policy: string, id: string, by: string): Promise<string>;
  /** @param target a path that is not there yet. */
  restore(policy: string, id: string, target: string, by: string): Promise<string>;
  /** Calls back when something has got on (`work`), or other things are to be shown (`changed`, with what is to be said). */
  onChange(listener: (what: "work" | "changed", said?: string) => void): () => void;
  /** Ends what it does by itself. */
  close(): Promise<void>;
}

const DAYS = 91;

/** The last thirteen weeks, the newest last. */
export function daysOf(runs: readonly PastRun[], now: Date, count = DAYS): Day[] {
  const counts = new Map<string, { well: number; failed: number }>();
  for (const { at, outcome, kind } of runs) {
    if (kind === "prune" && outcome === "success") continue;
    const key = dayKey(at);
    const of = counts.get(key) ?? { well: 0, failed: 0 };
    if (outcome === "success") of.well++;
    else if (outcome === "failure") of.failed++;
    counts.set(key, of);
  }
  return Array.from({ length: count }, (_, index) => {
    const date = new Date(now.getFullYear(), now.getMonth(), now.getDate() - (count - 1 - index));
    return { date, ...(counts.get(dayKey(date)) ?? { well: 0, failed: 0 }) };
  });
}

function dayKey(date: Date): string {
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;
}
