export { type DiagnoseOptions, type Diagnosis, diagnose } from "./doctor/diagnose.ts";
export type { Finding, FindingLevel } from "./doctor/finding.ts";
export {
  type BackupDatabaseOptions,
  type BackupResult,
  backupDatabase,
  type DatabaseBackupFile,
  type RestoreDatabaseOptions,
  restoreDatabase,
} from "./dumps/backup-database.ts";
export { BackupFormat, type BackupMetadata } from "./dumps/backup-format.ts";
export {
  DatabaseBackup,
  type DatabaseBackupOptions,
  type DatabaseConnection,
  type DumpSqliteOptions,
  type PruneDumpsOptions,
} from "./dumps/database-backup.ts";
export * from "./errors.ts";
export type { LinkMode } from "./fs/placer.ts";
export { BackupManager, type RecoveryReport } from "./guard/backup-manager.ts";
export { BackupStrategy } from "./guard/backup-strategy.ts";
export type {
  CommittedEvent,
  GuardEvent,
  GuardEvents,
  RecoveredEvent,
  RolledBackEvent,
  WrittenTable,
} from "./guard/guard-events.ts";
export type {
  Adopt,
  BackupInfo,
  BackupManagerOptions,
  BackupState,
  Connect,
  CreateBackupOptions,
  GuardedWork,
  GuardedWorkOptions,
  RecoverOptions,
  RestoreBackupOptions,
} from "./guard/manager-options.ts";
export type { UnreadableTable } from "./guard/recovery/recover-entries.ts";
export type { RecoveredEntry, RecoveryAction } from "./guard/recovery/roll-back-dead.ts";
export type { RestoreResult, TableRestore } from "./guard/rollback/roll-back-tables.ts";
export {
  type CreateIndexesResult,
  createIndexesWithBackup,
  type IndexSpec,
} from "./guard/write/create-indexes.ts";
export {
  type DeleteRowsOptions,
  type DeleteRowsResult,
  deleteRowsWithBackup,
} from "./guard/write/delete-rows.ts";
export type { Embedding } from "./guard/write/embed-rows.ts";
export {
  type InsertRecordsOptions,
  type InsertRecordsResult,
  insertRecordsWithBackup,
} from "./guard/write/insert-records.ts";
export type { KeysInput, RecordsInput } from "./guard/write/row-source.ts";
export type { GuardedOptions } from "./guard/write/write-options.ts";
export type { LanceDBModule, LanceDBOptions } from "./lance/which-lancedb.ts";
export type { Logger } from "./logger.ts";
export { type CommitSource, PeriodicBackupManager } from "./periodic/periodic-manager.ts";
export type { PeriodicBackupOptions } from "./periodic/periodic-options.ts";
export { applyDelta, loadBackup } from "./periodic/replay/replay-file.ts";
export type { ReplayOptions } from "./periodic/replay/replay-target.ts";
export {
  type RestoreLatestOptions,
  type RestoreSummary,
  restoreLatest,
} from "./periodic/replay/restore-latest.ts";
export { BackupService, type BackupServiceOptions } from "./policy/backup-service.ts";
export type { Meter } from "./policy/metrics/meter-instruments.ts";
export type { Labels, MetricFamily, MetricSample } from "./policy/metrics/metric-registry.ts";
export { type MetricSource, prometheusText } from "./policy/metrics/prometheus-text.ts";
export { loadPolicies } from "./policy/policies.ts";
export { PolicyFileError, type PolicyProblem } from "./policy/policy-file-error.ts";
export type { Policy, PolicySet, ShownValue } from "./policy/policy-set.ts";
export type { PolicyStatus } from "./policy/policy-status.ts";
export type { RunReport, RunStep, RunType } from "./policy/run-policy.ts";
export type { RunListener, WorkListener, WorkUnderWay } from "./policy/work-under-way.ts";
export * from "./repository/index.ts";
export { type RestoredRows, type RestoreRowsOptions, restoreRowsWithBackup } from "./rows/restore-rows.ts";
export type { WhichRows } from "./rows/which-rows.ts";
