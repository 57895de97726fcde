import {
  daysOf,
  type PageSource,
  type PastRun,
  type PolicyCard,
  STATES,
  type Work,
} from "../src/page/page-state.ts";
import type { PruneReport, SnapshotDetails, SnapshotTableDetails } from "../src/repository/index.ts";

const [HOUR_MS, DAY_MS] = [3_600_000, 86_400_000];

/** What the page would show of some months of backups: for a screenshot, and to test with many. */
export function samplePage(now = new Date()): PageSource {
  const at = (ms: number) => new Date(now.getTime() + ms);
  const policies = [
    card("vectors", "Embeddings of the product search", "well", ["lancedb"], 1_840_000_000, now),
    card("customers", "Customers and their orders", "well", ["postgresql"], 612_000_000, now),
    card("uploads", "Files that users have sent", "running", ["filesystem"], 9_300_000_000, now),
    card("agent-memory", "What the agents remember", "failed", ["lancedb", "sqlite"], 284_000_000, now),
    card("reports", "Reports of the months", "overdue", ["filesystem"], 97_000_000, now),
    card("staging", undefined, "off", ["lancedb"], 41_000_000, now),
  ];
  const all = policies.map((one) => ({ ...one, snapshots: snapshotsOf(one.card.name, one.size, now) }));
  const runs = all.flatMap(({ card: { name }, snapshots }) => runsOf(name, snapshots, now));
  runs.sort((a, b) => b.at.getTime() - a.at.getTime());
  const cards = all.map(({ card: one, snapshots }) => ({
    ...one,
    snapshots: snapshots.length,
    bytes: snapshots[0]?.bytes,
    newBytes: snapshots[0]?.newBytes,
    days: daysOf(
      runs.filter(({ policy }) => policy === one.name),
      now,
      30,
    ),
  }));
  cards.sort((a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state) || a.name.localeCompare(b.name));
  const work: Work[] = [
    {
      ...{ policy: "uploads", kind: "incremental", step: "backup", startedAt: at(-190_000), by: "anna" },
      progress: {
        phase: "read",
        ...{ files: 8211, totalFiles: 14_020, bytes: 5_700_000_000, totalBytes: 9_300_000_000 },
      },
    },
  ];
  const nothing = () => "";
  return {
    overview: async () => ({
      ...{
        file: "/etc/lancedb-backup.yaml",
        now,
        cards,
        work,
        runs: runs.slice(0, 8),
        days: daysOf(runs, now),
      },
      counts: new Map(STATES.map((state) => [state, cards.filter((one) => one.state === state).length])),
      coming: cards
        .flatMap(({ name: policy, nextRun }) => (nextRun ? [{ policy, at: nextRun }] : []))
        .sort((a, b) => a.at.getTime() - b.at.getTime()),
      ...{ search: "", page: 1, pages: 1 },
    }),
    policy: async (name) => {
      const one = cards.find((each) => each.name === name);
      const own = runs.filter(({ policy }) => policy === name);
      const snapshots = all.find(({ card: each }) => each.name === name)?.snapshots ?? [];
      const working = work.filter(({ policy }) => policy === name);
      return one && { now, card: one, work: working, runs: own, days: daysOf(own, now), snapshots };
    },
    snapshot: async (policy, id) => {
      const snapshot = all
        .find(({ card: one }) => one.name === policy)
        ?.snapshots.find((one) => one.id === id);
      return snapshot && { now, policy, work: [], snapshot };
    },
    work: () => work,
    prunePlan: async () => {
      const [first, ...rest] = all[0]?.snapshots ?? [];
      const plan: PruneReport = {
        dryRun: true,
        ...{ kept: first ? [{ snapshot: first, reasons: ["last"] }] : [], timeZone: "Europe/Berlin" },
        removed: rest.slice(-4).map((snapshot) => ({ snapshot, reason: "no rule keeps it" })),
        ...{ marked: { blobs: 40, bytes: 12_000_000 }, freed: { blobs: 0, bytes: 0 }, waiting: [] },
        ...{ unfinished: 0, deadLeases: 0 },
      };
      return plan;
    },
    ...{
      run: nothing,
      verify: nothing,
      prune: nothing,
      verifySnapshot: async () => "",
      restore: async () => "",
    },
    onChange: () => () => undefined,
    close: async () => undefined,
  };
}

function card(
  name: string,
  description: string | undefined,
  state: PolicyCard["state"],
  sources: readonly string[],
  size: number,
  now: Date,
) {
  const at = (ms: number) => new Date(now.getTime() + ms);
  const why = {
    failed:
      "The password of /srv/agent/memory.db's repository is not known: none of its slots is opened by it.",
    overdue: `a run was due ${at(-9 * HOUR_MS)
      .toISOString()
      .slice(0, 16)
      .replace("T", " ")}`,
  };
  const isLate = state === "failed" || state === "overdue" || state === "off";
  const one: Omit<PolicyCard, "snapshots" | "days"> = {
    ...{ name, description, state, sources, location: "s3://backups/production" },
    why: state === "failed" || state === "overdue" ? why[state] : undefined,
    schedule: { full: "0 2 * * 0", incremental: "6h", timeZone: "Europe/Berlin" },
    lastSuccess: at(isLate ? -31 * HOUR_MS : -2.4 * HOUR_MS),
    nextRun: state === "off" ? undefined : at(((name.charCodeAt(0) % 8) * 37 - 15) * 60_000),
    lastVerify: { at: at(-2 * DAY_MS), ok: true },
  };
  return { card: one, size };
}

function snapshotsOf(policy: string, size: number, now: Date): SnapshotDetails[] {
  const skipped =
    policy === "agent-memory"
      ? [0]
      : policy === "reports"
        ? [0, 1]
        : policy === "staging"
          ? [0, 1, 2, 3, 4, 5, 6, 7]
          : [];
  return Array.from({ length: 84 }, (_, night) => night)
    .filter((night) => !skipped.includes(night) && (policy !== "reports" || night % 3 === 0))
    .map((night) => {
      const growth = 1 - night * 0.006;
      const wave = 1 + Math.sin(night * 1.7 + policy.length) * 0.5;
      const isFull = night % 7 === 0;
      const bytes = Math.round(size * growth);
      const createdAt = new Date(now.getTime() - night * DAY_MS - 2.4 * HOUR_MS);
      const tables =
        policy === "vectors" || policy === "agent-memory" || policy === "staging" ? tablesOf(bytes) : [];
      return {
        ...{
          id: `${String(9000 - night)}${policy.length}c4e8a2b1f07d356`,
          name: policy,
          tags: isFull ? ["full"] : [],
        },
        ...{ createdAt, durationMs: Math.round((isFull ? 64_000 : 9000) * wave * (size / 2e9)), bytes },
        ...{
          files: Math.round(bytes / 4e6),
          newFiles: 12,
          newBytes: Math.round(bytes * 0.008 * wave),
          storedBytes: 1,
        },
        ...{ history: "all", rows: tables.reduce((sum, { rows }) => sum + rows, 0), tables, checksum: "" },
        source: { type: "lancedb", id: policy, uri: `/srv/${policy}`, host: "db-1" },
        parts: [
          { source: { type: "lancedb", id: policy, uri: `/srv/${policy}`, host: "db-1" }, files: 41, bytes },
        ],
        software: { lancedbBackup: "0.1.0", node: "24.21.0" },
      } satisfies SnapshotDetails;
    });
}

function tablesOf(bytes: number): SnapshotTableDetails[] {
  return ["documents", "chunks", "images", "agents$sessions"].map((id, index) => ({
    ...{ id, directory: `${id}.lance`, version: 412 - index * 71, digest: "", versionCount: 40 - index * 7 },
    ...{
      files: 120 >> index,
      bytes: Math.round(bytes / 2 ** (index + 1)),
      rows: Math.round(bytes / 3400 / 2 ** index),
    },
    ...{ tags: [], leftOut: [], versions: [] },
  }));
}

function runsOf(policy: string, snapshots: readonly SnapshotDetails[], now: Date): PastRun[] {
  const at = (ms: number) => new Date(now.getTime() + ms);
  const backups = snapshots.map(({ id, createdAt, durationMs, bytes, newBytes, tags }): PastRun => {
    const kind = tags.includes("full") ? "full" : "incremental";
    return { policy, kind, at: createdAt, outcome: "success", durationMs, snapshot: id, bytes, newBytes };
  });
  const checks = Array.from({ length: 12 }, (_, week): PastRun => {
    const durationMs = Math.round(21_000 * (1 - week * 0.03) * (1 + Math.sin(week) * 0.1));
    return {
      policy,
      kind: "verify",
      at: at(-week * 7 * DAY_MS - DAY_MS * 2),
      outcome: "success",
      durationMs,
    };
  });
  const restores = [3, 31, 58].map((day): PastRun => {
    const details = `1.8 GB into /restore/${policy}-${day}`;
    return {
      policy,
      kind: "restore",
      at: at(-day * DAY_MS),
      outcome: "success",
      durationMs: 8000 + day * 40,
      by: "anna",
      details,
    };
  });
  const details = "The password of /srv/agent/memory.db's repository is not known.";
  const failed =
    policy === "agent-memory"
      ? [0.1, 0.35].map(
          (day): PastRun => ({
            policy,
            kind: "incremental",
            at: at(-day * DAY_MS),
            outcome: "failure",
            durationMs: 2100,
            details,
          }),
        )
      : [];
  const older: PastRun[] =
    policy === "uploads"
      ? [{ policy, kind: "full", at: at(-19 * DAY_MS), outcome: "failure", details: "The disk is full." }]
      : [];
  return [
    ...backups,
    ...(policy === "staging" ? [] : checks),
    ...(policy === "vectors" ? restores : []),
    ...failed,
    ...older,
  ];
}
