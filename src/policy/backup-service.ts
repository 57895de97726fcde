import { assertKnown, assertLogger, assertMilliseconds } from "../checks.ts";
import { ValidationError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import type { Repository, Snapshot } from "../repository/index.ts";
import { abortable, waitAtMost } from "../util/abortable.ts";
import { type Clock, systemClock } from "../util/clock.ts";
import { type Slot, Slots } from "../util/slots.ts";
import type { Meter } from "./metrics/meter-instruments.ts";
import type { MetricSource } from "./metrics/prometheus-text.ts";
import { ServiceMetrics } from "./metrics/service-metrics.ts";
import { Notices } from "./notices.ts";
import { OpenRepositories } from "./policy-repository.ts";
import type { PolicySet } from "./policy-set.ts";
import { sourceKeysOf } from "./policy-sources.ts";
import type { PolicyStatus } from "./policy-status.ts";
import { PolicyTurn } from "./policy-turn.ts";
import { readStatuses } from "./read-statuses.ts";
import { type RunReport, type RunRequest, type RunType, runPolicy } from "./run-policy.ts";
import { type FailedRun, ServiceState, stateDirectory } from "./service-state.ts";
import { TimeLimit } from "./time-limit.ts";
import { WatchedPolicy } from "./watched-policy.ts";
import { type RunListener, type WorkListener, type WorkUnderWay, WorkWatch } from "./work-under-way.ts";

export interface BackupServiceOptions {
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  readonly logger?: Logger | undefined;
  /** Where it takes the time from; for tests. */
  readonly clock?: Clock | undefined;
  /**
   * A directory for what must be known after a restart, and is not in the repositories: how many runs have failed in a row, who was told
   * of what, and notices that have not arrived. false: nowhere. Default: what `LANCEDB_BACKUP_STATE` says (`off`, or a path), or systemd's
   * `STATE_DIRECTORY`, or `lancedb-backup` in the user's directory for such.
   */
  readonly stateDirectory?: string | false | undefined;
  /** Of OpenTelemetry: the metrics (docs/metrics.md) are made on it, until the service is stopped. Default: none is. */
  readonly meter?: Meter | undefined;
}

/** Who asks for something. */
export interface AskedBy {
  /** A name, as of `Repository.open`. Default: nobody, the system's user alone. */
  readonly actor?: string | undefined;
}

export interface StatusOptions {
  readonly policies?: readonly string[] | undefined;
  readonly maxAgeMs?: number | undefined;
  readonly notify?: boolean | undefined;
}

const TICK_MS = 1000;
/** By so much the wall clock and the clock that nobody sets may differ between two looks; more is a step, or sleep. */
const STEP_MS = 2000;
/** How long to wait before a repository that could not be read is looked at again. */
const LOOK_AGAIN_MS = 60_000;
/** How long to wait before it is looked again whether another process still runs a policy. */
const LOOK_ELSEWHERE_MS = 30_000;
/** How long it is waited for a repository before somebody is told that a policy is overdue. */
const LOOK_MS = 30_000;
/** How long a run waits at most to know what others have done, before it begins without. */
const LEARN_MS = 600_000;

/**
 * Runs policies by their schedules. Never two runs of a policy at a time; of all, as many as the file says. A run that was
 * missed is made up once, by what the repository has; a policy without any snapshot runs at once. When the clock is set,
 * back or forth, the schedules go by what it says then.
 *
 * @example
 * ```ts
 * await using service = new BackupService(await loadPolicies("backup.yaml"));
 * service.onRun(({ policy, outcome }) => console.log(policy, outcome));
 * service.start();
 * ```
 */
export class BackupService implements AsyncDisposable {
  readonly #policies: PolicySet;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #watched: ReadonlyMap<string, WatchedPolicy>;
  readonly #repositories: OpenRepositories;
  readonly #watch: WorkWatch;
  readonly #slots: Slots;
  readonly #state: ServiceState;
  readonly #notices: Notices;
  readonly #metrics: ServiceMetrics;
  /** Whether the repositories have been looked at. */
  #prepared: Promise<void> = Promise.resolve();
  #stop = new AbortController();
  /** Whether nothing more is to begin, also of what waits. */
  #closing = false;
  #end: (() => void) | undefined;
  #lookedAt = { wall: 0, monotonic: 0 };

  /** @throws TypeError, ValidationError */
  constructor(policies: PolicySet, options: BackupServiceOptions = {}) {
    assertKnown(options, "BackupService", { logger: true, clock: true, stateDirectory: true, meter: true });
    const { logger = defaultLogger(), clock = systemClock, meter } = options;
    assertLogger(logger);
    this.#policies = policies;
    this.#logger = logger;
    this.#clock = clock;
    this.#slots = new Slots(policies.concurrency);
    this.#watch = new WorkWatch(logger);
    this.#state = new ServiceState(stateDirectory(options.stateDirectory), logger);
    this.#notices = new Notices(logger, this.#state, clock);
    const now = clock.now();
    this.#metrics = new ServiceMetrics(policies, { logger, meter, state: this.#state, clock });
    this.#repositories = new OpenRepositories(logger, this.#metrics);
    this.#watched = new Map(
      [...policies].map(({ name, settings }) => [name, new WatchedPolicy(settings, now)]),
    );
  }

  /**
   * Begins to run what is due, now and from now on; keeps the process alive. Where it has begun already, nothing is done.
   *
   * @example
   * ```ts
   * service.start();
   * ```
   */
  start(): void {
    if (this.#end) return;
    this.#lookedAt = { wall: this.#clock.now(), monotonic: this.#clock.monotonic() };
    const endTicks = this.#clock.every(TICK_MS, () => this.#tick());
    const awake = setInterval(() => undefined, 2 ** 30);
    this.#end = () => {
      endTicks();
      clearInterval(awake);
    };
    this.#metrics.start();
    this.#prepared = this.#prepare([...this.#watched.values()]);
    for (const { settings } of this.#watched.values()) void this.#notices.resume(settings);
  }

  /**
   * Ends what is under way at a place where nothing is half-made, and begins nothing more.
   *
   * @param options.graceMs how long what is under way may go on to its own end first, milliseconds. Default 0.
   * @example
   * ```ts
   * process.once("SIGTERM", () => service.stop({ graceMs: 60_000 }));
   * ```
   */
  async stop({ graceMs = 0 }: { readonly graceMs?: number } = {}): Promise<void> {
    assertMilliseconds(graceMs, "graceMs");
    this.#end?.();
    this.#end = undefined;
    this.#closing = true;
    const ended = Promise.all([...this.#watched.values()].map(({ running }) => running));
    if (graceMs > 0) await waitAtMost(ended, graceMs, this.#stop.signal);
    this.#stop.abort(new Error("The service was stopped."));
    await ended;
    await this.#notices.sendAll();
    await this.#metrics.stop();
    this.#stop = new AbortController();
    this.#closing = false;
  }

  /**
   * Calls back when a run has ended. Answers with the function that ends it. What a listener throws is a warning.
   *
   * @example
   * ```ts
   * service.onRun(({ policy, outcome }) => console.log(policy, outcome));
   * ```
   */
  onRun(listener: RunListener): () => void {
    return this.#watch.onRun(listener);
  }

  /**
   * Calls back when a run begins, gets on, or ends, with all that are under way; many times a second. Answers with the
   * function that ends it. What a listener throws is a warning.
   *
   * @example
   * ```ts
   * service.onWork((work) => console.log(work.map(({ policy }) => policy)));
   * ```
   */
  onWork(listener: WorkListener): () => void {
    return this.#watch.onWork(listener);
  }

  /** What runs now, in the order in which it began. */
  get work(): readonly WorkUnderWay[] {
    return this.#watch.work;
  }

  /** The last runs of a policy that failed on this machine, also before this service began; the oldest first, a few at most. @internal */
  failedRuns(policy: string): readonly FailedRun[] {
    return this.#state.read(this.#named(policy).settings).failed ?? [];
  }

  /** The snapshots in a policy's repository, of all policies, the newest first. @internal */
  snapshots(policy: string): Promise<readonly Snapshot[]> {
    return this.#repositories.snapshots(this.#named(policy).settings);
  }

  /** What it tells by metrics, as they are now: for `prometheusText`, and what else reads them. */
  get metrics(): MetricSource {
    return this.#metrics.registry;
  }

  /**
   * Writes and pushes the metrics as the file says (`textfile`, `push`): for a process that runs policies once. What fails is a
   * warning.
   *
   * @example
   * ```ts
   * await service.run("nightly");
   * await service.publishMetrics();
   * ```
   */
  async publishMetrics(): Promise<void> {
    const { publishMetrics } = await import("./metrics/publish-metrics.ts");
    await publishMetrics(this.#metrics, this.#policies.metrics, this.#logger);
  }

  get policies(): PolicySet {
    return this.#policies;
  }

  /**
   * The repository of a policy, which the service holds open. None is made.
   *
   * @param options.actor whom the audit log is to name as who does what is done with it.
   * @throws ValidationError where there is no such policy, or none yet; the errors of `Repository.open`.
   * @example
   * ```ts
   * const repository = await service.repository("nightly");
   * console.log(await repository.list());
   * ```
   */
  async repository(policy: string, { actor }: AskedBy = {}): Promise<Repository> {
    return this.#repositories.open(this.#named(policy).settings, { actor });
  }

  /**
   * Runs a policy now, whatever its schedule, behind a run of it that is under way. What fails is in the report. Where the
   * service has not begun, what is verified or removed by a schedule of its own is where that was due since the newest snapshot.
   *
   * @param type default: `full` where a full backup is due, or the policy has no other.
   * @param options.actor whom the audit log is to name as who asked for it.
   * @throws ValidationError where there is no such policy.
   * @example
   * ```ts
   * const { outcome } = await service.run("nightly", "full");
   * ```
   */
  async run(policy: string, type?: RunType, { actor }: AskedBy = {}): Promise<RunReport> {
    const watched = this.#named(policy);
    if (type !== undefined && type !== "full" && type !== "incremental") {
      throw new ValidationError(`type must be "full" or "incremental", not ${JSON.stringify(type)}.`);
    }
    return this.#enqueue(watched, async () => {
      const due = await this.#due(watched);
      const wanted = type ?? due.type ?? (watched.settings.schedule.incremental ? "incremental" : "full");
      return { ...due, type: wanted, prune: due.prune || watched.prunesAfterBackup, actor };
    });
  }

  /**
   * Does now what a policy's verification or its retention says, whatever their schedules, behind a run that is under way.
   * What fails is in the report.
   *
   * @param options as of `run`.
   * @throws ValidationError where there is no such policy.
   * @example
   * ```ts
   * await service.runOnly("nightly", "verify");
   * ```
   */
  async runOnly(policy: string, step: "verify" | "prune", { actor }: AskedBy = {}): Promise<RunReport> {
    if (step !== "verify" && step !== "prune") {
      throw new ValidationError(`step must be "verify" or "prune", not ${JSON.stringify(step)}.`);
    }
    return this.#enqueue(this.#named(policy), async () => ({ ...NOTHING, [step]: true, actor }));
  }

  /**
   * How each policy stands, by what its repository has; it is only read. One that cannot be read is overdue, with the reason.
   *
   * @param options.policies of these alone. Default: of all.
   * @param options.maxAgeMs the age of the newest snapshot from which on a policy is overdue, in place of its own.
   * @param options.notify whether those are told of what is overdue, and is no more, whom its policy names. Default false.
   * @throws ValidationError where there is no such policy.
   * @example
   * ```ts
   * for (const { policy, overdue, reason } of await service.status()) {
   *   if (overdue) console.warn(policy, reason);
   * }
   * ```
   */
  async status(options: StatusOptions = {}): Promise<PolicyStatus[]> {
    const { policies = this.#policies.names, maxAgeMs, notify = false } = options;
    const wanted = policies.map((name) => this.#named(name));
    await this.#prepared;
    const statuses = await readStatuses(wanted, {
      ...{ repositories: this.#repositories, state: this.#state, logger: this.#logger, maxAgeMs },
      ...{ now: () => this.#clock.now(), isAtWork: this.#end !== undefined },
    });
    if (notify) await Promise.all(statuses.map((status) => this.#notify(status)));
    return statuses;
  }

  async #notify({ policy, overdue, reason = "", lastSuccess, snapshot }: PolicyStatus): Promise<void> {
    const { settings } = this.#named(policy);
    if (!this.#end) await this.#notices.resume(settings);
    if (overdue) await this.#notices.overdue(settings, async () => ({ reason, lastSuccess, snapshot }));
    else if (lastSuccess) await this.#notices.notOverdue(settings, lastSuccess);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #named(policy: string): WatchedPolicy {
    const watched = this.#watched.get(policy);
    if (watched) return watched;
    const names = this.#policies.names.slice(0, 20).join(", ");
    throw new ValidationError(`There is no policy ${JSON.stringify(policy)}. There are ${names}.`);
  }

  /** Learns from the repositories when each policy ran last. */
  async #prepare(policies: readonly WatchedPolicy[]): Promise<void> {
    const groups = Map.groupBy(policies, ({ settings: { storage } }) => storage.location);
    await Promise.all(
      [...groups.values()].map(async (group) => {
        try {
          await this.#look(group);
          for (const watched of group) watched.plan(this.#clock.now());
        } catch (error) {
          // Where there is none yet, the first run makes it, or says why it does not.
          const isThere = !(error instanceof ValidationError);
          if (isThere) this.#logger.warn("a repository cannot be read", { reason: reasonOf(error) });
          for (const watched of group) watched.next = this.#clock.now() + (isThere ? LOOK_AGAIN_MS : 0);
        }
      }),
    );
  }

  async #look(group: readonly WatchedPolicy[], options: { readonly anew?: boolean } = {}): Promise<void> {
    const [first] = group;
    if (!first) return;
    const histories = await this.#repositories.histories(first.settings, options);
    const known = { isRunByHand: !this.#end, now: this.#clock.now() };
    // By hand it runs whatever was found: that tells only what kind of run is due.
    const why = known.isRunByHand ? "to tell" : "to run";
    for (const watched of group) {
      const { settings } = watched;
      const state = () => this.#state.read(settings);
      watched.learn(histories.of(settings, why, known.now), { ...known, state });
    }
  }

  #tick(): void {
    const [wall, monotonic] = [this.#clock.now(), this.#clock.monotonic()];
    const passed = wall - this.#lookedAt.wall - (monotonic - this.#lookedAt.monotonic);
    this.#lookedAt = { wall, monotonic };
    const isStep = Math.abs(passed) > STEP_MS;
    this.#notices.tick();
    for (const watched of this.#watched.values()) {
      // Also while it runs: it may hang.
      if (watched.overdueLook <= wall && watched.isOverdue(wall)) void this.#tellOverdue(watched, wall);
      if (watched.running || watched.next === undefined) continue;
      if (isStep) watched.replan(wall);
      if (watched.next > wall || !watched.settings.enabled) continue;
      void this.#enqueue(watched, () => this.#due(watched), { isScheduled: true });
    }
  }

  async #tellOverdue(watched: WatchedPolicy, now: number): Promise<void> {
    const { settings } = watched;
    watched.overdueLook = now + LOOK_AGAIN_MS;
    await this.#notices.overdue(settings, async () => {
      // Somebody else may have run it meanwhile; what cannot be reached is not waited for.
      const looking = this.#look([watched]).catch((error: unknown) => {
        this.#logger.warn("a repository cannot be read", { reason: reasonOf(error) });
      });
      await waitAtMost(looking, LOOK_MS, this.#stop.signal);
      const work = this.work.find(({ policy }) => policy === settings.name);
      const overdue = watched.overdue(this.#clock.now());
      return overdue && { ...overdue, runningSince: work?.startedAt };
    });
  }

  async #due(watched: WatchedPolicy): Promise<RunRequest> {
    if (!watched.isKnown) {
      await this.#within(watched, () => this.#look([watched])).catch((error: unknown) => {
        const meta = { policy: watched.settings.name, reason: reasonOf(error) };
        this.#logger.debug("it is unknown when the policy ran last", meta);
      });
    }
    return watched.due(this.#clock.now());
  }

  /** Runs behind what runs of the policy already, when one of the places is free. */
  #enqueue(
    watched: WatchedPolicy,
    request: () => Promise<RunRequest>,
    { isScheduled = false } = {},
  ): Promise<RunReport> {
    const { signal } = this.#stop;
    const before = watched.running;
    const run = (async () => {
      await before;
      return this.#slots.within(async (slot) => {
        if (this.#closing)
          return this.#run(watched, { ...NOTHING, type: "incremental" }, { signal: STOPPED, slot });
        return this.#run(watched, await request(), { signal, slot, isScheduled });
      });
    })();
    const settled = run.then(
      () => undefined,
      (error: unknown) => this.#logger.error("a run ended unexpectedly", { reason: reasonOf(error) }),
    );
    watched.running = settled;
    void settled.then(() => {
      if (watched.running !== settled) return;
      watched.running = undefined;
      const now = this.#clock.now();
      watched.plan(now);
      if (watched.runsElsewhere) watched.next = now + LOOK_ELSEWHERE_MS;
    });
    return run;
  }

  async #run(
    watched: WatchedPolicy,
    asked: RunRequest,
    { signal, slot, isScheduled = false }: RunPlace,
  ): Promise<RunReport> {
    const { settings } = watched;
    const { actor } = asked;
    if (!this.#end) await this.#notices.resume(settings);
    await using turn = new PolicyTurn({
      ...{ policy: settings.name, sources: sourceKeysOf(settings.sources) },
      waits: this.#end !== undefined && !isScheduled,
      openRepository: () => this.#repositories.open(settings, { create: true, actor }),
    });
    const request = isScheduled ? await this.#stillDue(watched, turn, asked) : asked;
    const now = this.#clock.now();
    const startedAt = new Date(now);
    const isIdle = isNothing(request);
    const report = await runPolicy(
      {
        ...{ settings, logger: this.#logger, signal, slot, turn, now: () => this.#clock.now() },
        onBegin: () => {
          watched.begin(request, now);
          this.#logger.info("a run begins", { policy: settings.name, ...request });
          this.#notices.begin(settings);
        },
        onStep: (step, progress) => {
          this.#watch.set({ policy: settings.name, type: request.type, startedAt, step, progress });
        },
      },
      request,
    );
    this.#noteElsewhere(watched, report, isScheduled);
    if (report.outcome === "skipped") return report;
    if (isIdle) return report;
    watched.end(report, this.#clock.now());
    try {
      const before = await this.#state.end(settings, report);
      await this.#notices.end(settings, report, before);
      this.#metrics.ran(settings, report);
    } finally {
      this.#tell(report);
    }
    return report;
  }

  /** What is due when it is known that no other process does it: another may have done it just now. */
  async #stillDue(watched: WatchedPolicy, turn: PolicyTurn, request: RunRequest): Promise<RunRequest> {
    if (isNothing(request)) return request;
    try {
      await this.#within(watched, async (signal) => {
        await turn.take({ signal });
        await this.#look([watched], { anew: true });
      });
    } catch {
      return request; // the run tells why, and tries again
    }
    return watched.due(this.#clock.now());
  }

  /** Before a run has begun: a storage that does not answer keeps its place from others for no longer than this, nor a stop waiting. */
  async #within<T>({ settings }: WatchedPolicy, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    using limit = new TimeLimit(Math.min(settings.schedule.timeoutMs ?? LEARN_MS, LEARN_MS));
    const signal = AbortSignal.any([this.#stop.signal, limit.signal]);
    return await abortable(() => work(signal), signal);
  }

  #noteElsewhere(watched: WatchedPolicy, { outcome, error }: RunReport, isScheduled: boolean): void {
    const was = watched.runsElsewhere;
    watched.runsElsewhere = outcome === "skipped" && isScheduled;
    if (outcome !== "skipped" || was) return;
    this.#logger.info("a run was left out", { policy: watched.settings.name, reason: reasonOf(error) });
  }

  #tell(report: RunReport): void {
    const { policy, type, outcome, durationMs: ms, snapshot, error } = report;
    const meta = { policy, type, outcome, ms, snapshot: snapshot?.id };
    if (outcome === "failure") this.#logger.error("a run failed", { ...meta, reason: reasonOf(error) });
    else this.#logger.info("a run ended", meta);
    this.#watch.end(report);
  }
}

interface RunPlace {
  readonly signal: AbortSignal;
  readonly slot: Slot;
  readonly isScheduled?: boolean;
}

function isNothing({ type, prune, verify }: RunRequest): boolean {
  return type === undefined && !prune && !verify;
}

const NOTHING: RunRequest = { prune: false, verify: false };
const STOPPED = AbortSignal.abort(new Error("The service was stopped."));
