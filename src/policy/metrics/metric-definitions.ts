import { type MetricDefinition, MetricRegistry } from "./metric-registry.ts";

const POLICY = ["policy"] as const;
const REPOSITORY = ["repository"] as const;

/**
 * Every metric that there is (docs/metrics.md). A run is a batch job: how long the last one took, and what it came to, are gauges, as
 * Prometheus has it for such; a histogram of a few runs a day says less.
 */
const METRICS = {
  lancedb_backup_runs_total: {
    kind: "counter",
    help: "Runs of policies that have ended, by outcome: success, failure, aborted.",
    labels: ["policy", "source", "outcome"],
  },
  lancedb_backup_last_run_timestamp_seconds: {
    kind: "gauge",
    help: "When the last run of the policy ended.",
    labels: POLICY,
    unit: "s",
  },
  lancedb_backup_last_run_success: {
    kind: "gauge",
    help: "Whether the last run of the policy succeeded: 1, or 0. After a failed backup only a backup sets it to 1 again.",
    labels: POLICY,
  },
  lancedb_backup_last_success_timestamp_seconds: {
    kind: "gauge",
    help: "When the newest snapshot of the policy was taken.",
    labels: POLICY,
    unit: "s",
  },
  lancedb_backup_overdue_timestamp_seconds: {
    kind: "gauge",
    help: "When the policy becomes overdue, unless there is a newer snapshot by then; 0 if there is no snapshot at all.",
    labels: POLICY,
    unit: "s",
  },
  lancedb_backup_duration_seconds: {
    kind: "gauge",
    help: "How long it took to take the newest snapshot of the policy.",
    labels: POLICY,
    unit: "s",
  },
  lancedb_backup_size_bytes: {
    kind: "gauge",
    help: "Bytes that a restore of the policy's newest snapshot writes.",
    labels: POLICY,
    unit: "By",
  },
  lancedb_backup_new_bytes: {
    kind: "gauge",
    help: "Bytes that the newest snapshot of the policy has and no earlier one had.",
    labels: POLICY,
    unit: "By",
  },
  lancedb_backup_shrunk_tables: {
    kind: "gauge",
    help: "Tables that were gone or far smaller when the newest snapshot of the policy was taken.",
    labels: POLICY,
  },
  lancedb_restore_duration_seconds: {
    kind: "gauge",
    help: "How long the last successful restore took.",
    labels: REPOSITORY,
    unit: "s",
  },
  lancedb_verify_failures_total: {
    kind: "counter",
    help: "Checks of verifications that found something wrong.",
    labels: POLICY,
  },
  lancedb_verify_last_success: {
    kind: "gauge",
    help: "Whether the last verification of the policy found no damage: 1, or 0.",
    labels: POLICY,
  },
  lancedb_verify_duration_seconds: {
    kind: "gauge",
    help: "How long the last verification of the policy took.",
    labels: POLICY,
    unit: "s",
  },
  lancedb_verify_oldest_blob_seconds: {
    kind: "gauge",
    help: "How long ago a verification last read all blobs of the newest snapshot of the policy, and found no damage; until there is one, the age of its oldest snapshot.",
    labels: POLICY,
    unit: "s",
  },
  lancedb_repository_snapshots: {
    kind: "gauge",
    help: "Snapshots in the repository, of all policies and sources.",
    labels: REPOSITORY,
  },
  lancedb_repository_blobs: {
    kind: "gauge",
    help: "Blobs in the repository, unneeded ones too.",
    labels: REPOSITORY,
  },
  lancedb_repository_bytes: {
    kind: "gauge",
    help: "Bytes that the blobs of the repository take.",
    labels: REPOSITORY,
    unit: "By",
  },
  lancedb_storage_requests_total: {
    kind: "counter",
    help: "Calls to stores that have ended, by outcome, retried ones included: success, not_found, aborted, failure.",
    labels: ["operation", "outcome"],
  },
  lancedb_backup_build_info: {
    kind: "gauge",
    help: "1; the version of lancedb-backup is its label.",
    labels: ["version"],
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type MetricName = keyof typeof METRICS;

export type BackupMetrics = MetricRegistry<MetricName>;

export const newBackupMetrics = (): BackupMetrics => new MetricRegistry<MetricName>(METRICS);
