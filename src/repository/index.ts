/** What users import as `lancedb-backup/repository`: repositories alone, without loading LanceDB's native library. */

export type { AuditActor, AuditEntry, AuditPoint } from "../engine/audit/audit-entry.ts";
export type { AuditProblem, AuditReport, VerifyAuditOptions } from "../engine/audit/verify-audit.ts";
export type { FileCount, ForetoldPart } from "../engine/backup/foretell-backup.ts";
export type { SnapshotFilter } from "../engine/catalog/filter.ts";
export type { RoomTaken, SourceRoom } from "../engine/catalog/room-taken.ts";
export type { Compression } from "../engine/codec/encode-blob.ts";
export type { CopiedSnapshot, FailedCopy } from "../engine/copy/copy-report.ts";
export { ageIdentity, ageRecipients } from "../engine/keys/age-key.ts";
export { type AwsCredentials, type AwsKmsOptions, awsKms } from "../engine/keys/aws-kms-key.ts";
export type { KeySlot } from "../engine/keys/manage-keys.ts";
export { passphrase } from "../engine/keys/passphrase.ts";
export { rawKey } from "../engine/keys/raw-key.ts";
export { parseRecoveryKey, type RecoveryKey, recoveryKey } from "../engine/keys/recovery-key.ts";
export type { KeyPlace, RepositoryKey, SlotPlace } from "../engine/keys/repository-key.ts";
export type { Rewritten } from "../engine/keys/rewrite-epoch.ts";
export type { RotationReport } from "../engine/keys/rotate-keys.ts";
export type { FoundLease } from "../engine/lease/lease-record.ts";
export type { UnlockOptions } from "../engine/lease/remove-leases.ts";
export type { OnProgress, Progress } from "../engine/progress.ts";
export type { BlobCount } from "../engine/prune/prune-report.ts";
export type { PruneOptions } from "../engine/prune/prune-snapshots.ts";
export type { Endangered } from "../engine/retention/implausible.ts";
export type { RetentionPolicy } from "../engine/retention/retention-policy.ts";
export type { Pin } from "../engine/snapshot.ts";
export type {
  Capture,
  CaptureRequest,
  Entry,
  Holdings,
  Source,
  SourceDetails,
} from "../engine/source-contract.ts";
export type {
  PartToRestore,
  PartToTest,
  RestoredPart,
  RestoreUrlOptions,
  SourceKind,
} from "../engine/source-kind.ts";
export { registerSource } from "../engine/source-kind.ts";
export type { SourceUrlOptions } from "../engine/source-url.ts";
export type { VerificationResult } from "../engine/verify/result.ts";
export type { Check, VerifyOptions } from "../engine/verify/verify-options.ts";
export * from "../errors.ts";
export { type DatabaseIdentity, identifyDatabase } from "../lance/database-identity.ts";
export type { Exclusions, OnUnsupported } from "../lance/left-out.ts";
export type { LanceDBModule, LanceDBOptions } from "../lance/which-lancedb.ts";
export type { Logger } from "../logger.ts";
export type {
  DiffOptions,
  FileChanges,
  PartDiff,
  RowChanges,
  RowKey,
  SnapshotDiff,
  TableDiff,
  TableSide,
} from "../sources/lancedb/diff/diff-report.ts";
export type { OpenedSnapshot, OpenOptions } from "../sources/lancedb/open-snapshot.ts";
export type {
  LeftOut,
  RestoredTable,
  RestoreOptions,
  Selection,
} from "../sources/lancedb/restore/restore-options.ts";
export type { RestoreReport } from "../sources/lancedb/restore/restore-report.ts";
export type { Damage, RowRange, ScrubOptions, ScrubReport } from "../sources/lancedb/scrub/scrub-report.ts";
export type {
  LeftOutTable,
  Snapshot,
  SnapshotDetails,
  SnapshotPart,
  SnapshotSource,
  SnapshotTable,
  SnapshotTableDetails,
  SnapshotVersion,
  TakenSnapshot,
} from "../sources/lancedb/snapshot-view.ts";
export { fallShown, fallsAmong } from "../sources/lancedb/snapshot-view.ts";
export { sourceFromUrl } from "../sources/source-from-url.ts";

export type { StorageRequest } from "../storage/layers/counted-storage.ts";
export type { StorageOptions } from "../storage/layers/layered.ts";
export type { RateLimits } from "../storage/layers/rate-limited-storage.ts";
export type { Retry, RetryOptions } from "../storage/layers/retry-policy.ts";
export type { LocalFiles, Stray } from "../storage/local-files.ts";
export type { StoredObject } from "../storage/object-name.ts";
export { assertObjectName, assertObjectPrefix, isObjectName } from "../storage/object-name.ts";
export {
  type OpenerOptions,
  openStorage,
  registerStorage,
  type StorageOpener,
} from "../storage/open-storage.ts";
export { piecesOf } from "../storage/pieces.ts";
export type {
  CallOptions,
  Content,
  ReadOptions,
  Storage,
  StorageLimits,
  WriteOptions,
} from "../storage/storage.ts";
export type { Fall, ShrunkTable } from "../util/shrunk-tables.ts";
export { withoutPassword } from "../util/without-password.ts";
export type { AuditFilter, RestoreRecord } from "./audit-queries.ts";
export type { AuditMode } from "./audit-trail.ts";
export type { BackupOptions, DryBackupOptions } from "./backup-options.ts";
export type { CopyOptions, CopyReport } from "./copy-between.ts";
export type {
  BackupEvent,
  PruneEvent,
  RepositoryEvent,
  RepositoryEvents,
  RestoreEvent,
  VerifyEvent,
  WarningEvent,
} from "./events.ts";
export type { BackupForecast } from "./foretell-snapshot.ts";
export type { LabelOptions, PinOptions, TagOptions } from "./label-snapshot.ts";
export type { KeptSnapshot, PruneReport, RemovedSnapshot } from "./prune-view.ts";
export { Repository } from "./repository.ts";
export type { GetOptions } from "./repository-base.ts";
export type { RepositoryKeys, RotateOptions } from "./repository-keys.ts";
export type {
  EncryptionOptions,
  InitOptions,
  KeysOption,
  OpenRepositoryOptions,
  RepositoryOptions,
} from "./repository-options.ts";
export type { RepositoryStats, StatsOptions } from "./repository-stats.ts";
export type { PartOptions, RestorePartsOptions, RestorePartsReport, RestoreTarget } from "./restore-parts.ts";
export type { CacheOption } from "./snapshot-cache.ts";
