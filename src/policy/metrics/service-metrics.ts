import type { Logger } from "../../logger.ts";
import type { Repository, Snapshot, StorageRequest } from "../../repository/index.ts";
import { manifest } from "../../util/build-facts.ts";
import type { Clock } from "../../util/clock.ts";
import type { PolicySet, PolicySettings } from "../policy-set.ts";
import { sourcesShown } from "../policy-sources.ts";
import { type Histories, overdueFrom } from "../policy-status.ts";
import { FULL_TAG, type RunReport } from "../run-policy.ts";
import type { ServiceState } from "../service-state.ts";
import { assertMeter, bindMeter, type Meter } from "./meter-instruments.ts";
import { type BackupMetrics, type MetricName, newBackupMetrics } from "./metric-definitions.ts";
import type { MetricFamily, MetricSample } from "./metric-registry.ts";
import { MetricsServer } from "./metrics-server.ts";
import type { TextSample } from "./prometheus-text.ts";
import { RepositoryHoldings } from "./repository-holdings.ts";

/** What is known of a policy's snapshots and verifications. */
interface Known {
  readonly settings: PolicySettings;
  newest?: Snapshot | undefined;
  newestFull?: Snapshot | undefined;
  oldest?: Date | undefined;
  /** When a verification began that read every blob of the newest snapshot and found all well; milliseconds since 1970. */
  readAll?: number | undefined;
}

interface ServiceMetricsOptions {
  readonly logger: Logger;
  /** What is known of policies from before. */
  readonly state: Pick<ServiceState, "read">;
  readonly clock: Pick<Clock, "now">;
  readonly meter?: Meter | undefined;
}

/** What a service tells by metrics: it hears of runs, of what its repositories do, and of calls to their stores. */
export class ServiceMetrics {
  readonly registry: BackupMetrics = newBackupMetrics();
  readonly #known: ReadonlyMap<string, Known>;
  readonly #locations: ReadonlySet<string>;
  readonly #holdings: RepositoryHoldings;
  readonly #state: Pick<ServiceState, "read">;
  readonly #clock: Pick<Clock, "now">;
  readonly #meter: Meter | undefined;
  readonly #page: MetricsServer | undefined;
  /** Of each counter what both this process and what it goes on from have counted. */
  readonly #shared = new Map<string, number>();
  #unbind: (() => void) | undefined;

  constructor(policies: PolicySet, { logger, meter, state, clock }: ServiceMetricsOptions) {
    assertMeter(meter);
    this.#meter = meter;
    this.#clock = clock;
    this.#state = state;
    const { listen } = policies.metrics;
    this.#page = listen && new MetricsServer(this.registry, listen, logger);
    this.#known = new Map(Array.from(policies, ({ settings }) => [settings.name, { settings }]));
    this.#locations = new Set(Array.from(this.#known.values(), ({ settings }) => settings.storage.location));
    this.#holdings = new RepositoryHoldings(this.#locations, logger, { onRequest: this.request });
    this.#begin();
    this.#bind();
  }

  /** The page is there from now on. */
  start(): void {
    this.#bind();
    this.#page?.start();
  }

  /** Nobody is told any more. */
  async stop(): Promise<void> {
    this.#unbind?.();
    this.#unbind = undefined;
    await this.#page?.stop();
  }

  #bind(): void {
    this.#unbind ??= this.#meter && bindMeter(this.registry, this.#meter);
  }

  /** Counts a call to a store. */
  readonly request = ({ operation, outcome }: StorageRequest): void =>
    this.registry.add("lancedb_storage_requests_total", { operation, outcome });

  /** Hears what a repository does from now on. */
  watch(repository: Repository, location: string): void {
    repository.on("backup", ({ outcome, result }) => {
      this.#holdings.changed(location);
      const known = this.#known.get(result?.name ?? "");
      if (outcome !== "success" || !known) return;
      known.oldest ??= result.createdAt;
      this.#newest(known, result, result.tags.includes(FULL_TAG) ? result : known.newestFull);
      const { length } = result.shrunk ?? [];
      this.registry.set("lancedb_backup_shrunk_tables", { policy: known.settings.name }, length);
    });
    repository.on("restore", ({ outcome, durationMs }) => {
      if (outcome !== "success") return;
      this.registry.set("lancedb_restore_duration_seconds", { repository: location }, durationMs / 1000);
    });
    repository.on("verify", ({ outcome, result, snapshot, durationMs }) => {
      const known = [...this.#known.values()].find(({ newest }) => newest && newest.id === snapshot);
      if (outcome !== "success" || !known) return;
      const policy = { policy: known.settings.name };
      const failures = result.filter(({ ok }) => !ok).length;
      this.registry.add("lancedb_verify_failures_total", policy, failures);
      this.registry.set("lancedb_verify_duration_seconds", policy, durationMs / 1000);
    });
    repository.on("prune", () => this.#holdings.changed(location));
  }

  /** Takes up what a repository has of its policies. */
  learn(histories: Histories, location: string): void {
    const now = this.#clock.now();
    for (const known of this.#known.values()) {
      if (known.settings.storage.location !== location) continue;
      const { newest, newestFull, oldest } = histories.of(known.settings, "to tell", now);
      known.oldest = oldest?.createdAt;
      this.#newest(known, newest, newestFull);
      if (newest) this.#tellState(known);
    }
  }

  /** A run has ended, and the state knows of it. */
  ran(settings: PolicySettings, { outcome, endedAt }: RunReport): void {
    const policy = { policy: settings.name };
    const source = sourcesShown(settings.sources);
    this.registry.add("lancedb_backup_runs_total", { ...policy, source, outcome });
    this.registry.set("lancedb_backup_last_run_timestamp_seconds", policy, endedAt.getTime() / 1000);
    const known = this.#known.get(settings.name);
    if (known && outcome !== "aborted") this.#tellState(known);
  }

  /** Looks what the repositories hold, where that was not just done; else it is looked at for who reads next. */
  measure(): Promise<void> {
    return this.#holdings.measure();
  }

  /**
   * Goes on from what another process has told: from what it has counted since this was last asked, and with what is not known here.
   *
   * @param toldAt when it told that, milliseconds since 1970.
   */
  carryOn(samples: readonly TextSample[], toldAt: number): void {
    const families = new Map<string, MetricFamily>(
      this.registry.families().map((family) => [family.name, family]),
    );
    for (const sample of samples) {
      const family = families.get(sample.name);
      if (family && this.#isOurs(sample)) this.#carryOn(sample, family, toldAt);
    }
  }

  /** This was told where others go on from it, and so will this process. */
  hasTold(samples: readonly TextSample[]): void {
    for (const sample of samples) this.#shared.set(keyOf(sample), sample.value);
  }

  #carryOn(sample: TextSample, { name, kind, samples }: MetricFamily, toldAt: number): void {
    const { labels, value } = sample;
    const metric = name as MetricName;
    const known = this.#known.get(labels["policy"] ?? "");
    if (kind === "counter") {
      const shared = this.#shared.get(keyOf(sample)) ?? 0;
      // Less than was there: it has begun anew.
      this.registry.add(metric, labels, value < shared ? value : value - shared);
      this.#shared.set(keyOf(sample), value);
    } else if (metric === "lancedb_verify_oldest_blob_seconds" && known) {
      known.readAll = Math.max(known.readAll ?? 0, toldAt - value * 1000);
    } else if (!samples.some((own) => isSame(own.labels, labels))) {
      this.registry.set(metric, labels, value);
    }
  }

  /** Whether a sample is of a policy or repository that there still is. */
  #isOurs({ name, labels: { policy, repository } }: TextSample): boolean {
    if (name === "lancedb_backup_build_info") return false;
    if (policy !== undefined && !this.#known.has(policy)) return false;
    return repository === undefined || this.#locations.has(repository);
  }

  /** What can be counted is there from the beginning: so a rate sees the first time. */
  #begin(): void {
    const { registry } = this;
    registry.set("lancedb_backup_build_info", { version: manifest.version }, 1);
    for (const { settings } of this.#known.values()) {
      const policy = { policy: settings.name };
      for (const outcome of ["success", "failure", "aborted"] as const) {
        const source = sourcesShown(settings.sources);
        registry.add("lancedb_backup_runs_total", { ...policy, source, outcome }, 0);
      }
      registry.add("lancedb_verify_failures_total", policy, 0);
    }
    for (const operation of ["read", "write", "write_new", "list", "stat", "remove"] as const) {
      for (const outcome of ["success", "failure"] as const)
        registry.add("lancedb_storage_requests_total", { operation, outcome }, 0);
    }
    registry.compute("lancedb_verify_oldest_blob_seconds", () => this.#oldestBlobs());
    registry.compute("lancedb_repository_snapshots", () => this.#holdings.samples("snapshots"));
    registry.compute("lancedb_repository_blobs", () => this.#holdings.samples("blobs"));
    registry.compute("lancedb_repository_bytes", () => this.#holdings.samples("bytes"));
  }

  #tellState(known: Known): void {
    const policy = { policy: known.settings.name };
    const { failures, lastVerify, readAll } = this.#state.read(known.settings);
    if (readAll !== undefined) known.readAll = Math.max(known.readAll ?? 0, readAll);
    this.registry.set("lancedb_backup_last_run_success", policy, failures === 0 ? 1 : 0);
    if (lastVerify) this.registry.set("lancedb_verify_last_success", policy, lastVerify.ok ? 1 : 0);
  }

  #newest(known: Known, newest: Snapshot | undefined, newestFull: Snapshot | undefined): void {
    const { registry } = this;
    const policy = { policy: known.settings.name };
    known.newest = newest;
    known.newestFull = newestFull;
    const seconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1000);
    const last = newest?.createdAt.getTime();
    registry.set("lancedb_backup_last_success_timestamp_seconds", policy, seconds(last));
    registry.set("lancedb_backup_duration_seconds", policy, seconds(newest?.durationMs));
    registry.set("lancedb_backup_size_bytes", policy, newest?.bytes);
    registry.set("lancedb_backup_new_bytes", policy, newest?.newBytes);
    const overdue = overdueFrom(known.settings, { newest, newestFull, count: 0 }, 0, this.#clock.now());
    const isNever = newest === undefined && overdue !== undefined;
    registry.set("lancedb_backup_overdue_timestamp_seconds", policy, isNever ? 0 : seconds(overdue));
  }

  *#oldestBlobs(): Generator<MetricSample> {
    for (const { settings, readAll, oldest } of this.#known.values()) {
      const since = readAll ?? oldest?.getTime();
      if (since === undefined) continue;
      yield { labels: { policy: settings.name }, value: Math.max(0, this.#clock.now() - since) / 1000 };
    }
  }
}

const keyOf = ({ name, labels }: TextSample) => JSON.stringify([name, Object.entries(labels)]);

function isSame(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
