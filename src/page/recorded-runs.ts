import { FULL_TAG } from "../policy/run-policy.ts";
import type { AuditEntry, Repository, Snapshot } from "../repository/index.ts";
import { counted, formatBytes } from "../util/format.ts";
import type { PastRun } from "./page-state.ts";

/** What a repository has, as far as the page shows it. */
export interface Content {
  readonly snapshots: readonly Snapshot[];
  readonly entries: readonly AuditEntry[];
}

const MOST_ENTRIES = 300;
/** What is asked for where most is known: each entry is a request to a store. */
const FEW_ENTRIES = 20;

/** The newest entries of a repository's audit log, read once each. */
export class NewestEntries {
  /** The newest first. */
  #entries: readonly AuditEntry[] = [];
  #reading: Promise<unknown> = Promise.resolve();

  /** One behind the other: each begins where the one before it ended. */
  read(repository: Repository): Promise<readonly AuditEntry[]> {
    const reading = this.#reading.then(() => this.#read(repository));
    this.#reading = reading.catch(() => undefined);
    return reading;
  }

  async #read(repository: Repository): Promise<readonly AuditEntry[]> {
    const known = this.#entries[0]?.number ?? 0;
    const fresh = await repository.audit({ limit: known === 0 ? MOST_ENTRIES : FEW_ENTRIES });
    const isJoined = known === 0 || (fresh.at(-1)?.number ?? 0) <= known + 1;
    const all = isJoined ? fresh : await repository.audit({ limit: MOST_ENTRIES });
    const newer = isJoined ? all.filter(({ number }) => number > known) : all;
    this.#entries = isJoined ? [...newer, ...this.#entries].slice(0, MOST_ENTRIES) : newer;
    return this.#entries;
  }
}

/** What was done, the newest first, by all that tells of it: of what several tell of, once. */
export function runsIn(contents: readonly Content[], remembered: readonly PastRun[]): PastRun[] {
  const snapshots = contents.flatMap((content) => content.snapshots);
  const names = new Map(snapshots.map(({ id, name }) => [id, name]));
  const entries = contents.flatMap((content) => content.entries);
  const { runs, askedBy } = recordedRuns(entries, (id) => names.get(id));
  const backups = snapshots.map((snapshot) => ({ ...runOf(snapshot), by: askedBy.get(snapshot.id) }));
  const rest = remembered.filter(
    ({ kind, outcome, snapshot }) =>
      kind === "verify" || kind === "restore" || outcome !== "success" || !names.has(snapshot ?? ""),
  );
  const all = [...backups, ...runs, ...withoutRecorded(rest, runs)];
  return all.sort((a, b) => b.at.getTime() - a.at.getTime());
}

function runOf({ id, name = "", tags, createdAt, durationMs, bytes, newBytes }: Snapshot): PastRun {
  const kind = tags.includes(FULL_TAG) ? "full" : "incremental";
  return { policy: name, kind, at: createdAt, outcome: "success", durationMs, snapshot: id, bytes, newBytes };
}

/**
 * The verifications and restores that an audit log tells of; who took which snapshot is in `askedBy`.
 *
 * @param policyOf whose a snapshot is; undefined where it is gone, or nobody's.
 */
function recordedRuns(
  entries: readonly AuditEntry[],
  policyOf: (snapshot: string) => string | undefined,
): { readonly runs: readonly PastRun[]; readonly askedBy: ReadonlyMap<string, string> } {
  const askedBy = new Map<string, string>();
  const runs = entries.flatMap(({ operation, at, outcome, durationMs, actor, details }): PastRun[] => {
    const { snapshot } = details;
    if (typeof snapshot !== "string") return [];
    if (operation === "backup" && actor.name !== undefined) askedBy.set(snapshot, actor.name);
    const policy = policyOf(snapshot);
    if (policy === undefined) return [];
    const run = { policy, at, durationMs, snapshot, by: actor.name };
    if (operation === "verify") return [{ ...run, kind: "verify", ...checked(outcome, details) }];
    if (operation === "restore") return [{ ...run, kind: "restore", outcome, details: restored(details) }];
    return [];
  });
  return { runs, askedBy };
}

/** What is remembered and not recorded: an entry is made where a run ends, or just before. */
function withoutRecorded(remembered: readonly PastRun[], recorded: readonly PastRun[]): PastRun[] {
  return remembered.filter(
    ({ policy, kind, at, durationMs = 0 }) =>
      !recorded.some((run) => {
        const before = at.getTime() - run.at.getTime();
        return run.policy === policy && run.kind === kind && Math.abs(before) <= durationMs + NEAR_MS;
      }),
  );
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

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
