import type { AuditEntry } from "../engine/audit/audit-entry.ts";
import type { AuditReport, VerifyAuditOptions } from "../engine/audit/verify-audit.ts";
import type { FoundLease } from "../engine/lease/lease-record.ts";
import type { UnlockOptions } from "../engine/lease/remove-leases.ts";
import type { SnapshotDetails } from "../sources/lancedb/snapshot-view.ts";
import type { AuditFilter, RestoreRecord } from "./audit-queries.ts";
import type { Audited, AuditTrail } from "./audit-trail.ts";
import { auditedSnapshot, auditedUnlock } from "./audited-work.ts";
import type { RepositoryEvents } from "./events.ts";
import type { LabelOptions, PinOptions, TagOptions } from "./label-snapshot.ts";
import type { OpenedRepository } from "./opened-repository.ts";
import { RepositoryKeys } from "./repository-keys.ts";
import type { RepositoryStats, StatsOptions } from "./repository-stats.ts";

/** Of which database a snapshot is meant: where the repository has several. */
export interface GetOptions {
  /** By its id, or its directory. */
  readonly source?: string | undefined;
}

/** What a repository is besides its snapshots: who works in it, what opens it, what is said of its snapshots later, and what they take. */
export abstract class RepositoryBase implements AsyncDisposable {
  /** A path or an address, for messages. */
  readonly location: string;
  /** What opens it, where it is encrypted. */
  readonly keys: RepositoryKeys;
  /** @internal */
  protected readonly at: OpenedRepository;

  protected constructor(at: OpenedRepository) {
    this.at = at;
    this.location = at.storage.location;
    this.keys = new RepositoryKeys({
      ...{ storage: at.storage, logger: at.logger, documents: at.blobs.documents },
      ...{
        blobs: at.blobs,
        ring: at.ring,
        trail: at.trail,
        inPlace: (task, options) => at.inPlace(task, options),
      },
    });
  }

  /** A UUID, made with the repository; undefined where its `repository.json` is missing. */
  get id(): string | undefined {
    return this.at.marker?.id;
  }

  /**
   * Listens to what this repository's operations come to: one event for each, when it has ended. Answers with the function
   * that ends it. What a listener throws, or rejects with, is a warning in the log; the operation waits for no listener.
   *
   * @throws TypeError
   */
  on<N extends keyof RepositoryEvents>(
    name: N,
    listener: (event: RepositoryEvents[N]) => unknown,
  ): () => void {
    return this.at.events.on(name, listener);
  }

  /**
   * Pins a snapshot: no rule of retention removes it, and `delete` refuses it, until it is unpinned. What is said so lies beside
   * the snapshot, which does not change. One that is pinned stays pinned since then; another reason takes the place of its own.
   *
   * @param id as for `get`.
   * @returns the snapshot, as `get` shows it now
   * @throws BackupNotFoundError, ValidationError. @throws LockedError where the repository is encrypted, and a prune does not end in time
   */
  async pin(id: string, options: PinOptions = {}): Promise<SnapshotDetails> {
    const { pinSnapshot } = await import("./label-snapshot.ts");
    return this.at.trail.during(auditedSnapshot("pin", id), undefined, () =>
      pinSnapshot(this.at, id, options),
    );
  }

  /** Takes a pin away. One that is not pinned is success. @param id as for `get`. @throws as `pin` */
  async unpin(id: string, options: LabelOptions = {}): Promise<SnapshotDetails> {
    const { unpinSnapshot } = await import("./label-snapshot.ts");
    return this.at.trail.during(auditedSnapshot("unpin", id), undefined, () =>
      unpinSnapshot(this.at, id, options),
    );
  }

  /**
   * Adds tags to a snapshot that was taken, and removes others. One that it has already, or has not, is success.
   *
   * @param id as for `get`.
   * @throws as `pin`; ValidationError for what is no tag, and for one that is to be added and removed.
   */
  async tag(id: string, options: TagOptions): Promise<SnapshotDetails> {
    const { tagSnapshot } = await import("./label-snapshot.ts");
    return this.at.trail.during(auditedSnapshot("tag", id), undefined, () =>
      tagSnapshot(this.at, id, options),
    );
  }

  /**
   * What takes the room: the newest snapshots, their history, what no snapshot needs, and by source; and what a prune would free. Reads
   * every document, and no blob.
   *
   * @throws ValidationError, IoError
   */
  async stats(options: StatsOptions = {}): Promise<RepositoryStats> {
    const { statsOf } = await import("./repository-stats.ts");
    return statsOf(this.at, options);
  }

  /** @internal Records in the audit log what another part of the package does by this repository. */
  recorded<T>(
    audited: Audited<T>,
    options: Parameters<AuditTrail["during"]>[1],
    work: () => Promise<T>,
  ): Promise<T> {
    return this.at.trail.during(audited, options, work);
  }

  /** Who works in the repository now, or died in it. */
  async leases(): Promise<FoundLease[]> {
    const { leaserOf } = await import("../engine/lease/leaser.ts");
    return this.at.inPlace(() => leaserOf(this.at.storage, { logger: this.at.logger }).list());
  }

  /**
   * Removes leases by hand, one by its name or those of the dead, and answers with them.
   *
   * @throws ValidationError where there is no such lease. @throws LockedError for a live one without `force`.
   */
  async unlock(options: UnlockOptions): Promise<FoundLease[]> {
    this.at.assertMarked();
    const [{ leaserOf }, { unlock }] = await Promise.all([
      import("../engine/lease/leaser.ts"),
      import("../engine/lease/remove-leases.ts"),
    ]);
    return this.at.trail.during(auditedUnlock(), undefined, () =>
      this.at.inPlace(() => unlock(leaserOf(this.at.storage, { logger: this.at.logger }), options)),
    );
  }

  /**
   * Entries of the audit log, the newest first: who did what when, and how it ended. What is recorded the option `audit` of `open` says. One that
   * cannot be read is left out with a warning.
   *
   * @throws ValidationError, IoError
   */
  async audit(filter: AuditFilter = {}): Promise<AuditEntry[]> {
    const { listAudit } = await import("./audit-queries.ts");
    return listAudit(this.at, filter);
  }

  /** Restores from this repository, the newest first, by its audit log. @throws as `audit` */
  async restores(filter: Omit<AuditFilter, "operations"> = {}): Promise<RestoreRecord[]> {
    const { listRestores } = await import("./audit-queries.ts");
    return listRestores(this.at, filter);
  }

  /**
   * Checks the audit log: whether entries are missing, were changed, or are there twice (docs/formats.md, "Audit log"). What is wrong is in
   * the report, never an exception.
   *
   * @throws ValidationError, IoError
   */
  async verifyAudit(options: VerifyAuditOptions = {}): Promise<AuditReport> {
    const { checkAudit } = await import("./audit-queries.ts");
    return checkAudit(this.at, options);
  }

  /** Nothing is held between calls; there to be written with `await using`, and for storages that hold connections. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
