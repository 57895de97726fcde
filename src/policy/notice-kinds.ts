/** What somebody is told of. */
export const NOTICE_KINDS = ["failure", "recovery", "overdue", "damage", "shrink", "success"] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];

/** From the least to the worst. */
export const SEVERITIES = ["info", "warning", "error", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];

export const SEVERITY_OF: Readonly<Record<NoticeKind, Severity>> = {
  success: "info",
  recovery: "info",
  shrink: "warning",
  failure: "error",
  overdue: "error",
  damage: "critical",
};

/** What goes on until a run goes well: it is told again at most every so often. Every other is told whenever it happens. */
const LASTING: readonly NoticeKind[] = ["failure", "overdue", "damage"];
export const isLasting = (kind: NoticeKind) => LASTING.includes(kind);

/** What a receiver is told of. Without either: all but what went well. */
export interface Wanted {
  readonly on?: readonly NoticeKind[] | undefined;
  /** What is as bad as this or worse, and the end of it. */
  readonly severity?: Severity | undefined;
}

/** Whether a receiver wants to hear of a kind. */
export function isWanted({ on, severity }: Wanted, kind: NoticeKind): boolean {
  if (on) return on.includes(kind);
  if (severity === undefined) return kind !== "success";
  // Who is told that something fails is told that it does no more.
  const counted = kind === "recovery" ? "error" : SEVERITY_OF[kind];
  return SEVERITIES.indexOf(counted) >= SEVERITIES.indexOf(severity);
}
