import { assertFlag, assertKnown } from "../checks.ts";
import type { SnapshotFilter } from "../engine/catalog/filter.ts";
import { readMarker } from "../engine/marker.ts";
import type { PruneOptions } from "../engine/prune/prune-snapshots.ts";
import type { VerificationResult } from "../engine/verify/result.ts";
import type { VerifyOptions } from "../engine/verify/verify-options.ts";
import { registerBuiltInKinds } from "../sources/built-in-kinds.ts";
import type { DiffOptions, SnapshotDiff } from "../sources/lancedb/diff/diff-report.ts";
import type { OpenedSnapshot, OpenOptions } from "../sources/lancedb/open-snapshot.ts";
import type { RestoreOptions } from "../sources/lancedb/restore/restore-options.ts";
import type { RestoreReport } from "../sources/lancedb/restore/restore-report.ts";
import type { ScrubOptions, ScrubReport } from "../sources/lancedb/scrub/scrub-report.ts";
import type { Snapshot, SnapshotDetails, TakenSnapshot } from "../sources/lancedb/snapshot-view.ts";
import type { Storage } from "../storage/storage.ts";
import {
  auditedBackup,
  auditedCopy,
  auditedPrune,
  auditedRestore,
  auditedScrub,
  auditedSnapshot,
  auditedVerify,
} from "./audited-work.ts";
import type { BackupOptions, DryBackupOptions } from "./backup-options.ts";
import type { CopyOptions, CopyReport } from "./copy-between.ts";
import type { BackupForecast } from "./foretell-snapshot.ts";
import { makeRepository, openKeys } from "./open-keys.ts";
import { OpenedRepository } from "./opened-repository.ts";
import type { PruneReport } from "./prune-view.ts";
import { type GetOptions, RepositoryBase } from "./repository-base.ts";
import {
  assertCompressionOption,
  assertEncryptionOption,
  type InitOptions,
  type OpenRepositoryOptions,
  placeOf,
} from "./repository-options.ts";
import type { PartOptions, RestorePartsOptions, RestorePartsReport } from "./restore-parts.ts";
import { selectContent } from "./select-content.ts";

registerBuiltInKinds();

/**
 * Snapshots of LanceDB databases that outlive the disk they were taken from: deduplicated, verified, each complete in
 * itself. In a local directory, or in any `Storage`. Several processes may work on one repository at once.
 *
 * What it promises is laid down in docs/formats.md. Every method checks its options before it touches anything
 * (`ValidationError`, or `TypeError` for a programmer's mistake), and takes an abort signal where work is long.
 *
 * What a method alone needs is loaded by it: to list snapshots takes a fifth of the modules, and a command starts with it.
 *
 * @example
 * ```ts
 * await using repository = await Repository.init("vault");
 * await repository.backup({ source: "data/lancedb-table", name: "nightly" });
 * await repository.restore("latest", { target: "restored" });
 * ```
 */
export class Repository extends RepositoryBase {
  /**
   * Makes a repository, its directory too.
   *
   * @param location a directory's path, `s3://bucket/prefix?region=…` (`openStorage` says what else), or a `Storage`.
   * @throws ValidationError where there is one already, or for an address that cannot be read. @throws UnsupportedError
   * where the address's scheme is not known, its package not installed, or the store does not exclude one writer from
   * making what another has made.
   * @example
   * ```ts
   * const local = await Repository.init("vault");
   * const bucket = await Repository.init("s3://my-bucket/vault?region=eu-central-1", {
   *   compression: { algorithm: "zstd" },
   *   encryption: { keys: [passphrase(secret), recoveryKey()] },
   * });
   * ```
   */
  static async init(location: string | Storage, options: InitOptions = {}): Promise<Repository> {
    const { compression, encryption, unsafeNoExclusive, ...rest } = options;
    assertCompressionOption(compression);
    assertEncryptionOption(encryption);
    assertFlag(unsafeNoExclusive, "unsafeNoExclusive");
    const place = await placeOf(location, rest);
    const { local } = place.storage;
    if (local) {
      const { assertOutsideTables } = await import("../lance/database.ts");
      assertOutsideTables(local.root, "The repository");
    }
    const made = await makeRepository(place, { compression, encryption, unsafeNoExclusive });
    return new Repository(OpenedRepository.of(place, made.marker, made.ring));
  }

  /**
   * Opens a repository. One whose `repository.json` is missing is opened all the same, with a warning, and can be read
   * from: what writes then throws `CorruptError`.
   *
   * @throws ValidationError where there is none; where it is encrypted and none of `keys` opens it, naming its slots.
   * @throws CorruptError, UnsupportedError where its mark is damaged or of a newer format, or no slot is left.
   * @example
   * ```ts
   * await using repository = await Repository.open("vault", { keys: [passphrase(secret)] });
   * ```
   */
  static async open(location: string | Storage, options: OpenRepositoryOptions = {}): Promise<Repository> {
    const { keys, ...rest } = options;
    const place = await placeOf(location, rest);
    const marker = await readMarker(place.storage);
    const at = { location: place.storage.location };
    if (!marker)
      place.logger.warn("the repository has no repository.json, so it is opened for reading only", at);
    if (marker?.unsafeNoExclusive) {
      const message = "the store cannot keep two writers apart: only one may write at a time";
      place.logger.warn(message, at);
      place.storage.acceptNoExclusion?.();
    }
    return new Repository(OpenedRepository.of(place, marker, await openKeys(place, marker, keys)));
  }

  /**
   * Takes a snapshot of a database while others write to it. It waits for guarded writes, so that its tables fit
   * together, and holds up nobody else. What the snapshot before it has is not read again.
   *
   * If it is interrupted there is no snapshot, and the next run reuses the blobs that are there. With `dryRun` it returns what it would
   * read and leave out, and writes nothing, not even a lease, or an id beside the database.
   *
   * A table that is gone, or had 100 rows or more in the snapshot before and has lost more than half, is a warning, and is
   * in the result (`shrunk`).
   *
   * @throws ValidationError where there is no such database or table, or no table at all without `allowEmpty`.
   * @throws ShrunkError where tables have lost more than `failOnShrink` allows: no snapshot was taken.
   * @throws LockedError where guarded writes or a
   * prune do not end within `lockTimeoutMs`, or where a dead process left guarded work: call `recover()` first.
   * @throws UnsupportedError, CorruptError naming a table that cannot be captured in full. @throws IoError
   * @example
   * ```ts
   * const snapshot = await repository.backup({ source: "data/lancedb-table", name: "nightly" });
   * const { parts } = await repository.backup({ sources: ["data/lancedb-table", "sqlite:data/app.db"] });
   * const forecast = await repository.backup({ source: "data/lancedb-table", dryRun: true });
   * ```
   */
  backup(options: BackupOptions & { dryRun?: false | undefined }): Promise<TakenSnapshot>;
  backup(options: DryBackupOptions): Promise<BackupForecast>;
  async backup(
    wanted: BackupOptions & { dryRun?: boolean | undefined },
  ): Promise<TakenSnapshot | BackupForecast> {
    const { dryRun = false, ...others } = wanted ?? {};
    const options = wanted && others; // what is no options at all is refused where all others are
    assertFlag(dryRun, "dryRun");
    if (dryRun) return this.#foretell({ ...options, dryRun });
    const { takeContext, takeSnapshot, askedOf, tellTaken } = await import("./take-snapshot.ts");
    const asked = askedOf(options);
    return this.at.during(asked, auditedBackup({ ...asked, name: options?.name }), options, async () => {
      this.at.assertMarked();
      const started = performance.now();
      const place = { blobs: this.at.blobs, logger: this.at.logger, lancedb: this.at.lancedb };
      const context = takeContext(place, this.at.catalog.stored, options?.signal);
      const snapshot = await this.at.inPlace(() => takeSnapshot(context, options), {
        writes: true,
        renews: true,
      });
      tellTaken(this.at.logger, snapshot, Math.round(performance.now() - started));
      return snapshot;
    });
  }

  async #foretell(options: DryBackupOptions): Promise<BackupForecast> {
    const { takeContext } = await import("./take-snapshot.ts");
    const { foretellSnapshot } = await import("./foretell-snapshot.ts");
    const place = { blobs: this.at.blobs, logger: this.at.logger, lancedb: this.at.lancedb };
    const context = takeContext(place, this.at.catalog.stored, options.signal);
    return this.at.inPlace(() => foretellSnapshot(context, options));
  }

  /**
   * Snapshots, the newest first. Those whose documents are damaged are left out with a warning; `verify` names them.
   *
   * @example
   * ```ts
   * for (const { id, name, createdAt } of await repository.list({ tags: ["before-import"] })) {
   *   console.log(id, name, createdAt);
   * }
   * ```
   */
  list(filter: SnapshotFilter = {}): Promise<Snapshot[]> {
    return this.at.inPlace(() => this.at.catalog.list(filter));
  }

  /**
   * A snapshot with its versions, its document checked.
   *
   * @param id an id, the beginning of one, a name (the newest that has it), or `latest`. One whose time lies in the
   * future is not the newest, unless all do, and is warned of.
   * @throws BackupNotFoundError. @throws ValidationError where several ids begin so, or several databases have a snapshot
   * that may be meant, naming them. @throws CorruptError, UnsupportedError where its document is damaged or newer.
   * @example
   * ```ts
   * const { parts } = await repository.get("latest");
   * ```
   */
  async get(id: string, options: GetOptions = {}): Promise<SnapshotDetails> {
    assertKnown(options, "get", { source: true });
    return this.at.inPlace(() => this.at.catalog.get(id, options));
  }

  /**
   * Removes a snapshot. Its blobs stay until `prune` finds that no other needs them.
   *
   * @param id as for `get`; a damaged one by its whole id.
   * @throws BackupNotFoundError, ValidationError
   * @example
   * ```ts
   * await repository.delete("20261128");
   * ```
   */
  async delete(id: string, options: GetOptions = {}): Promise<void> {
    assertKnown(options, "delete", { source: true });
    this.at.assertMarked();
    const remove = async () => {
      const found = await this.at.catalog.resolve(id, options);
      await this.at.catalog.delete(found);
      return { id: found };
    };
    const { id: exact } = await this.at.trail.during(auditedSnapshot("delete", id), undefined, () =>
      this.at.inPlace(remove, { writes: true }),
    );
    this.at.logger.info("snapshot deleted", { snapshot: exact });
  }

  /**
   * Restores a snapshot: into a new directory, which appears whole or not at all, or in place as new commits. Every file
   * is compared with its digest as it is written.
   *
   * A snapshot of several parts is restored by `targets`, each part to a place of its own; with `target` its LanceDB database is,
   * or its only part, of whatever kind.
   *
   * @param id as for `get`. With `at`, `latest` and a name stand for the earliest snapshot, taken then or later, that
   * has what every table held then; one that is named by its id must have it.
   * @throws BackupNotFoundError, ValidationError (the target is not empty, no such table, version or moment, no room).
   * @throws CorruptError where the snapshot or a blob is damaged, before anything is written where it can be known then.
   * @throws RestoreError where a restore in place ended half-way: it names the tables that had gone back, and can be
   * done again. @throws IoError, LockedError; the signal's reason.
   * @example
   * ```ts
   * await repository.restore("nightly", { target: "restored" }); // a new database
   * await repository.restore("latest", { target: "data/lancedb-table", mode: "in-place" });
   * await repository.restore("latest", { target: "noon", at: new Date("2026-11-28T12:00:00Z"), tables: ["documents"] });
   * ```
   */
  restore(id: string, options: RestoreOptions & PartOptions): Promise<RestoreReport>;
  restore(id: string, options: RestorePartsOptions): Promise<RestorePartsReport>;
  async restore(
    id: string,
    options: (RestoreOptions & PartOptions) | RestorePartsOptions,
  ): Promise<RestoreReport | RestorePartsReport> {
    const { restoreSnapshot, targetsOf } = await import("./restore-snapshot.ts");
    const place = { ...this.#choice(), blobs: this.at.blobs, lancedb: this.at.lancedb };
    const asked = { type: "restore", snapshot: String(id), targets: targetsOf(options) } as const;
    const audited = auditedRestore(asked.snapshot, asked.targets);
    return this.at.during(asked, audited, options, () =>
      this.at.inPlace(() => restoreSnapshot(place, id, options)),
    );
  }

  #choice() {
    return { catalog: this.at.catalog, logger: this.at.logger };
  }

  /**
   * Opens a snapshot as a LanceDB connection, in milliseconds, without restoring it: links to its blobs in a directory of
   * its own. What is written there reaches no blob. Leave it by `await using`.
   *
   * @param id as for `restore`.
   * @throws BackupNotFoundError, ValidationError. @throws CorruptError where a blob is missing or has another size.
   * @example
   * ```ts
   * await using db = await repository.openSnapshot("nightly");
   * console.log(await (await db.openTable("documents")).countRows());
   * ```
   */
  async openSnapshot(id: string, options: OpenOptions = {}): Promise<OpenedSnapshot> {
    const { openSnapshot } = await import("../sources/lancedb/open-snapshot.ts");
    const place = { blobs: this.at.blobs, lancedb: this.at.lancedb };
    const open = async () => {
      const { content, leftOut } = await selectContent(this.#choice(), id, options);
      if (leftOut.length > 0) this.at.logger.warn("not everything is in the snapshot", { leftOut });
      return { id: content.snapshot.id, opened: await openSnapshot(place, content, options) };
    };
    const audited = auditedSnapshot("open", id);
    const { opened } = await this.at.trail.during(audited, options, () => this.at.inPlace(open));
    return opened;
  }

  /**
   * Checks one snapshot, or all of them and the repository around them. Damage is a result, never an exception.
   *
   * @param id as for `get`. Default: all.
   * @throws BackupNotFoundError, ValidationError. @throws IoError where the snapshots cannot be listed.
   * @example
   * ```ts
   * const results = await repository.verify("latest", { restoreTest: true });
   * console.log(results.every(({ ok }) => ok));
   * await repository.verify(undefined, { rollingDays: 30 }); // a share of all blobs: in 30 days each was read
   * ```
   */
  async verify(id?: string, options: VerifyOptions = {}): Promise<VerificationResult[]> {
    const { verifyRepository } = await import("./verify-repository.ts");
    const place = {
      blobs: this.at.blobs,
      logger: this.at.logger,
      lancedb: this.at.lancedb,
      catalog: this.at.uncached,
    };
    const asked = { type: "verify", snapshot: id, restoreTest: options?.restoreTest === true } as const;
    const writes = options?.rollingDays !== undefined;
    return this.at.during(asked, auditedVerify(id, options), options, async () => {
      if (writes) this.at.assertMarked();
      return this.at.inPlace(() => verifyRepository(place, id, options), { writes });
    });
  }

  /**
   * The differences between two snapshots: tables, versions, files and bytes; with `rows` also rows, compared by their
   * keys.
   *
   * @param from as for `get`; so is `to`.
   * @throws BackupNotFoundError, ValidationError, CorruptError, UnsupportedError, LanceError
   * @example
   * ```ts
   * const { parts } = await repository.diff("nightly", "latest", { rows: "id" });
   * ```
   */
  async diff(from: string, to: string, options: DiffOptions = {}): Promise<SnapshotDiff> {
    const { diff } = await import("../sources/lancedb/diff/diff-snapshots.ts");
    const place = { blobs: this.at.blobs, catalog: this.at.catalog, lancedb: this.at.lancedb };
    return this.at.inPlace(() => diff(place, from, to, options));
  }

  /**
   * Compares the files of a live database with their digests in its newest snapshot, and reports damage: LanceDB does not
   * notice flipped bits. With `heal` damaged files are replaced by those of the snapshot, and kept aside.
   *
   * @throws ValidationError where there is no such database. @throws BackupNotFoundError where there is no snapshot of it.
   * @throws CorruptError, UnsupportedError, IoError
   * @example
   * ```ts
   * const { damage } = await repository.scrub("data/lancedb-table", { heal: true });
   * for (const { details, mended } of damage) console.log(details, mended);
   * ```
   */
  async scrub(uri: string, options: ScrubOptions = {}): Promise<ScrubReport> {
    const { scrub } = await import("../sources/lancedb/scrub/scrub-tables.ts");
    const place = { blobs: this.at.blobs, catalog: this.at.catalog };
    const work = () => this.at.inPlace(() => scrub(place, uri, options));
    const report = options?.heal
      ? await this.at.trail.during(auditedScrub(uri), options, work)
      : await work();
    for (const { details, mended } of report.damage) {
      this.at.logger.warn(mended ? "a damaged file was healed" : "a file is damaged", { details });
    }
    return report;
  }

  /**
   * Removes the snapshots that a policy does not keep, and the blobs that nobody has needed for a grace period. Without
   * any rule no snapshot is removed.
   *
   * @throws ImplausibleError if good snapshots would be removed and implausible ones kept: nothing is removed.
   * @throws CorruptError, UnsupportedError where any snapshot cannot be read: no blob is removed then.
   * @throws ValidationError
   * @example
   * ```ts
   * const plan = await repository.prune({ keepDaily: 7, keepWeekly: 4, dryRun: true });
   * for (const { snapshot, reason } of plan.removed) console.log(snapshot.id, reason);
   * ```
   */
  async prune(policy: PruneOptions = {}): Promise<PruneReport> {
    const { pruneRepository } = await import("./prune-repository.ts");
    const audited = auditedPrune(policy?.force === true, policy?.name);
    return this.at.during({ type: "prune" }, audited, policy, () => pruneRepository(this.at, policy));
  }

  /**
   * Copies the snapshots that another repository does not have, whatever its layout and codec, oldest first, each whole or
   * not at all. Data that is there is not sent again. If it is interrupted, the next run continues. Every file is compared with
   * its SHA-256: a damaged snapshot is in the report with its error, and the others are copied. Nothing is pruned in either
   * repository meanwhile; if this one cannot be written to, that does not hold for it, and a warning says so.
   *
   * @throws ValidationError where both are one repository, or an id stands for another snapshot there, naming both.
   * @throws LockedError where a prune does not end in time. @throws CorruptError where the target has no
   * `repository.json`. @throws IoError; the signal's reason.
   * @example
   * ```ts
   * const second = await Repository.open("s3://my-bucket/vault?region=eu-central-1");
   * await repository.copy(second, { name: "nightly" });
   * ```
   */
  async copy(to: Repository, options: CopyOptions = {}): Promise<CopyReport> {
    if (!(to instanceof Repository)) throw new TypeError("What is copied to must be a Repository.");
    if (!options?.dryRun) to.at.assertMarked();
    const { copyBetween } = await import("./copy-between.ts");
    const [from, target] = [this.at.identified(), to.at.identified()];
    const copy = () => copyBetween(from, target, options, this.at.logger);
    const writes = !options?.dryRun;
    const work = () => this.at.inPlace(() => to.at.inPlace(copy, { writes }), { looks: true });
    return this.at.trail.during(auditedCopy("copy-to", target), options, () =>
      to.at.trail.during(auditedCopy("copy-from", from), options, work),
    );
  }
}
