/** What users import as `lancedb-backup/repository`: repositories alone, without loading LanceDB's native library. */
export * from "../errors.ts";
export { type DatabaseIdentity, identifyDatabase } from "../lance/database-identity.ts";
export type { Exclusions, OnUnsupported } from "../lance/left-out.ts";
export type { ShrunkTable } from "../lance/shrunk-tables.ts";
export type { LanceDBModule, LanceDBOptions } from "../lance/which-lancedb.ts";
export type { Logger } from "../logger.ts";
export type { Source } from "../sources/source.ts";
export { openStorage, registerStorage, type StorageOpener } from "../storage/open-storage.ts";
export type {
  Content,
  ReadOptions,
  Storage,
  StoredObject,
  WriteOptions,
} from "../storage/storage.ts";
export type { BackupOptions } from "./backup/options.ts";
export type { SnapshotFilter } from "./catalog/filter.ts";
export type {
  DiffOptions,
  FileChanges,
  RowChanges,
  RowKey,
  SnapshotDiff,
  TableDiff,
  TableSide,
} from "./diff/report.ts";
export type { OpenedSnapshot, OpenOptions } from "./open/open-snapshot.ts";
export type { RepositoryOptions } from "./options.ts";
export type { OnProgress, Progress } from "./progress.ts";
export type { PruneOptions } from "./prune/prune.ts";
export type { BlobCount, PruneReport } from "./prune/report.ts";
export { type GetOptions, Repository } from "./repository.ts";
export type { RestoreOptions, Selection } from "./restore/options.ts";
export type { RestoredTable, RestoreReport } from "./restore/report.ts";
export type { LeftOut } from "./restore/select.ts";
export type { KeptSnapshot, RemovedSnapshot } from "./retention/plan.ts";
export type { RetentionPolicy } from "./retention/policy.ts";
export type { Damage, RowRange, ScrubOptions, ScrubReport } from "./scrub/report.ts";
export type {
  LeftOutTable,
  Snapshot,
  SnapshotDetails,
  SnapshotSource,
  SnapshotTable,
  SnapshotTableDetails,
  SnapshotVersion,
  TakenSnapshot,
} from "./snapshot.ts";
export type { Check, VerifyOptions } from "./verify/options.ts";
export type { VerificationResult } from "./verify/result.ts";
