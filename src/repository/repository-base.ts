import type { AuditEntry } from "../engine/audit/audit-entry.ts";
import type { AuditReport, VerifyAuditOptions } from "../engine/audit/verify-audit.ts";
import { type PolicyRuns, runLeaseKind } from "../engine/format/names.ts";
import type { AcquireOptions, Lease } from "../engine/lease/lease.ts";
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

/** What a repository has besides snapshots: leases, keys, pins and tags, statistics, the audit log. */
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
   * Listens to the operations of this repository: one event for each, when it has ended. Returns a function that stops
   * listening. An error of a listener is logged as a warning; no operation waits for listeners.
   *
   * @throws TypeError
   * @example
   * ```ts
   * repository.on("warning", ({ message }) => console.warn(message));
   * ```
   */
  on<N extends keyof RepositoryEvents>(
    name: N,
    listener: (event: RepositoryEvents[N]) => unknown,
  ): () => void {
    return this.at.events.on(name, listener);
  }

  /**
   * Pins a snapshot: no retention rule removes it, and `delete` refuses it, until it is unpinned. The snapshot itself does not
   * change. Pinning it again keeps the time of the first pin, and replaces the reason.
   *
   * @param id as for `get`.
   * @returns the snapshot, as `get` shows it now
   * @throws BackupNotFoundError, ValidationError. @throws LockedError where the repository is encrypted, and a prune does not end in time
   * @example
   * ```ts
   * await repository.pin("latest", { reason: "before the migration" });
   * ```
   */
  async pin(id: string, options: PinOptions = {}): Promise<SnapshotDetails> {
    const { pinSnapshot } = await import("./label-snapshot.ts");
    return this.at.trail.during(auditedSnapshot("pin", id), undefined, () =>
      pinSnapshot(this.at, id, options),
    );
  }

  /**
   * Removes a pin. Does nothing if the snapshot is not pinned. @param id as for `get`. @throws as `pin`
   *
   * @example
   * ```ts
   * await repository.unpin("20261128");
   * ```
   */
  async unpin(id: string, options: LabelOptions = {}): Promise<SnapshotDetails> {
    const { unpinSnapshot } = await import("./label-snapshot.ts");
    return this.at.trail.during(auditedSnapshot("unpin", id), undefined, () =>
      unpinSnapshot(this.at, id, options),
    );
  }

  /**
   * Adds and removes tags of a snapshot. Adding a tag that it has, or removing one that it does not have, does nothing.
   *
   * @param id as for `get`.
   * @throws as `pin`; ValidationError for what is no tag, and for one that is to be added and removed.
   * @example
   * ```ts
   * await repository.tag("latest", { add: ["release-3"], remove: ["candidate"] });
   * ```
   */
  async tag(id: string, options: TagOptions): Promise<SnapshotDetails> {
    const { tagSnapshot } = await import("./label-snapshot.ts");
    return this.at.trail.during(auditedSnapshot("tag", id), undefined, () =>
      tagSnapshot(this.at, id, options),
    );
  }

  /**
   * What takes up space: the newest snapshots, older ones, what no snapshot needs, also by source; and what a prune would free.
   * Reads every document, but no blobs.
   *
   * @throws ValidationError, IoError
   * @example
   * ```ts
   * const { prune } = await repository.stats({ policy: { keepDaily: 7 } });
   * console.log(prune?.now.bytes);
   * ```
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

  /**
   * @internal Keeps other processes from running the same policy, until the lease is released.
   *
   * @throws LockedError where another has it when the time is over; as `backup` where nothing can be written.
   */
  async holdPolicy(runs: PolicyRuns, options: AcquireOptions): Promise<Lease> {
    this.at.assertMarked();
    const { leaserOf } = await import("../engine/lease/leaser.ts");
    const leaser = leaserOf(this.at.storage, { logger: this.at.logger });
    const hold = () => leaser.acquire(runLeaseKind(runs), options);
    return this.at.inPlace(hold, { writes: true, renews: true });
  }

  /** @internal Who has the lease of a policy. */
  async policyHolder(runs: PolicyRuns): Promise<FoundLease | undefined> {
    const kind = runLeaseKind(runs);
    return (await this.leases()).find((lease) => lease.kind === kind && lease.alive);
  }

  /**
   * The leases: which processes use the repository, or have died while using it.
   *
   * @example
   * ```ts
   * for (const { name, alive } of await repository.leases()) console.log(name, alive);
   * ```
   */
  async leases(): Promise<FoundLease[]> {
    const { leaserOf } = await import("../engine/lease/leaser.ts");
    return this.at.inPlace(() => leaserOf(this.at.storage, { logger: this.at.logger }).list());
  }

  /**
   * Removes leases by hand: one by its name, or those of dead processes. Returns the removed ones.
   *
   * @throws ValidationError where there is no such lease. @throws LockedError for a live one without `force`.
   * @example
   * ```ts
   * await repository.unlock({ dead: true });
   * ```
   */
  async unlock(options: UnlockOptions): Promise<FoundLease[]> {
    this.at.assertMarked();
    const [{ leaserOf }, { unlock }] = await Promise.all([
      import("../engine/lease/leaser.ts"),
      import("../engine/lease/remove-leases.ts"),
    ]);
    return this.at.trail.during(auditedUnlock(), undefined, () =>
      this.at.inPlace(() => unlock(leaserOf(this.at.storage, { logger: this.at.logger }), options), {
        writes: true,
      }),
    );
  }

  /**
   * Entries of the audit log, newest first: who did what, when, and how it ended. The option `audit` of `open` sets what is
   * recorded. An entry that cannot be read is left out with a warning.
   *
   * @throws ValidationError, IoError
   * @example
   * ```ts
   * const entries = await repository.audit({ operations: ["prune", "delete"], limit: 20 });
   * ```
   */
  async audit(filter: AuditFilter = {}): Promise<AuditEntry[]> {
    const { listAudit } = await import("./audit-queries.ts");
    return listAudit(this.at, filter);
  }

  /**
   * Restores from this repository, newest first, from its audit log. @throws as `audit`
   *
   * @example
   * ```ts
   * for (const { snapshot } of await repository.restores({ limit: 5 })) console.log(snapshot);
   * ```
   */
  async restores(filter: Omit<AuditFilter, "operations"> = {}): Promise<RestoreRecord[]> {
    const { listRestores } = await import("./audit-queries.ts");
    return listRestores(this.at, filter);
  }

  /**
   * Checks the audit log for entries that are missing, changed or duplicated (docs/formats.md, "Audit log"). Problems are in the
   * report, never an exception.
   *
   * @throws ValidationError, IoError
   * @example
   * ```ts
   * const { problems } = await repository.verifyAudit();
   * console.log(problems.length === 0);
   * ```
   */
  async verifyAudit(options: VerifyAuditOptions = {}): Promise<AuditReport> {
    const { checkAudit } = await import("./audit-queries.ts");
    return checkAudit(this.at, options);
  }

  /** For `await using`. Nothing is held between calls, except by storages that hold connections. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
