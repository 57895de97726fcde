import { assertKnown, assertLogger, assertMilliseconds } from "../checks.ts";
import { type Clock, systemClock } from "../engine/clock.ts";
import { ValidationError } from "../errors.ts";
import { isError, reasonOf } from "../fs/io.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import type { Repository } from "../repository/index.ts";
import { believedLast, jitterOf, nextDue } from "./due-times.ts";
import { Notices } from "./notices.ts";
import { openPolicyRepository } from "./policy-repository.ts";
import type { Policy, PolicySet, PolicySettings } from "./policy-set.ts";
import { historiesOf, type PolicyHistory, type PolicyStatus, statusOf } from "./policy-status.ts";
import { type RunReport, type RunRequest, type RunType, removesSnapshots, runPolicy } from "./run-policy.ts";
import { Slots, within } from "./run-slots.ts";

export interface BackupServiceOptions {
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  readonly logger?: Logger | undefined;
  /** Where it takes the time from; for tests. */
  readonly clock?: Clock | undefined;
}

/** Who hears of runs that have ended. */
export type RunListener = (report: RunReport) => unknown;

const TICK_MS = 1000;
/** By so much the wall clock and the clock that nobody sets may differ between two looks; more is a step, or sleep. */
const STEP_MS = 2000;
/** How long to wait before a repository that could not be read is looked at again. */
const LOOK_AGAIN_MS = 60_000;

/** A policy, and what is known of its runs. */
interface Watched {
  readonly settings: PolicySettings;
  /** When its kinds of work were begun last, milliseconds since 1970. */
  any: number | undefined;
  full: number | undefined;
  pruned: number;
  verified: number;
  /** When there is something to do; undefined: not known yet. */
  next: number | undefined;
  failures: number;
  lastError?: string | undefined;
  lastVerify?: { readonly at: Date; readonly ok: boolean } | undefined;
  /** The run under way or waiting, and those behind it. */
  running: Promise<unknown> | undefined;
}

/**
 * Runs policies by their schedules. Never two runs of a policy at a time; of all, as many as the file says. A run that was
 * missed is made up once, by what the repository has; a policy without any snapshot runs at once. When the clock is set,
 * back or forth, the schedules go by what it says then.
 */
export class BackupService implements AsyncDisposable {
  readonly #policies: PolicySet;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #watched: ReadonlyMap<string, Watched>;
  readonly #repositories = new Map<string, Promise<Repository>>();
  readonly #listeners = new Set<{ readonly listener: RunListener }>();
  readonly #slots: Slots;
  readonly #notices: Notices;
  /** Whether the repositories have been looked at. */
  #prepared: Promise<void> = Promise.resolve();
  #stop = new AbortController();
  /** Whether nothing more is to begin, also of what waits. */
  #closing = false;
  #end: (() => void) | undefined;
  #lookedAt = { wall: 0, monotonic: 0 };

  /** @throws TypeError, ValidationError */
  constructor(policies: PolicySet, options: BackupServiceOptions = {}) {
    assertKnown(options, "BackupService", { logger: true, clock: true });
    const { logger = defaultLogger(), clock = systemClock } = options;
    assertLogger(logger);
    this.#policies = policies;
    this.#logger = logger;
    this.#clock = clock;
    this.#slots = new Slots(policies.concurrency);
    this.#notices = new Notices(logger, () => clock.now());
    const now = clock.now();
    this.#watched = new Map([...policies].map((policy) => [policy.name, watch(policy, now)]));
  }

  /** Begins to run what is due, now and from now on; keeps the process alive. Where it has begun already, nothing is done. */
  start(): void {
    if (this.#end) return;
    this.#lookedAt = { wall: this.#clock.now(), monotonic: this.#clock.monotonic() };
    const endTicks = this.#clock.every(TICK_MS, () => this.#tick());
    const awake = setInterval(() => undefined, 2 ** 30);
    this.#end = () => {
      endTicks();
      clearInterval(awake);
    };
    this.#prepared = this.#prepare([...this.#watched.values()]);
  }

  /**
   * Ends what is under way at a place where nothing is half-made, and begins nothing more.
   *
   * @param options.graceMs how long what is under way may go on to its own end first, milliseconds. Default 0.
   */
  async stop({ graceMs = 0 }: { readonly graceMs?: number } = {}): Promise<void> {
    assertMilliseconds(graceMs, "graceMs");
    this.#end?.();
    this.#end = undefined;
    this.#closing = true;
    const ended = Promise.all([...this.#watched.values()].map(({ running }) => running));
    if (graceMs > 0) await within(ended, graceMs, this.#stop.signal);
    this.#stop.abort(new Error("The service was stopped."));
    await ended;
    await this.#notices.settle();
    this.#stop = new AbortController();
    this.#closing = false;
  }

  /** Calls back when a run has ended. Answers with the function that ends it. What a listener throws is a warning. */
  onRun(listener: RunListener): () => void {
    if (typeof listener !== "function") throw new TypeError("listener must be a function.");
    const box = { listener };
    this.#listeners.add(box);
    return () => void this.#listeners.delete(box);
  }

  /**
   * Runs a policy now, whatever its schedule, behind a run of it that is under way. What fails is in the report. Where the
   * service has not begun, what is verified or removed by a schedule of its own is where that was due since the newest snapshot.
   *
   * @param type default: `full` where a full backup is due, or the policy has no other.
   * @throws ValidationError where there is no such policy.
   */
  async run(policy: string, type?: RunType): Promise<RunReport> {
    const watched = this.#named(policy);
    if (type !== undefined && type !== "full" && type !== "incremental") {
      throw new ValidationError(`type must be "full" or "incremental", not ${JSON.stringify(type)}.`);
    }
    return this.#enqueue(watched, async () => {
      const due = await this.#due(watched);
      const wanted = type ?? due.type ?? (watched.settings.schedule.incremental ? "incremental" : "full");
      return { ...due, type: wanted, prune: due.prune || prunesAfterBackup(watched.settings) };
    });
  }

  /**
   * How each policy stands, by what its repository has; it is only read. One that cannot be read is overdue, with the reason.
   *
   * @param options.maxAgeMs the age of the newest snapshot from which on a policy is overdue, in place of its own.
   */
  async status(options: { readonly maxAgeMs?: number | undefined } = {}): Promise<PolicyStatus[]> {
    await this.#prepared;
    const histories = new Map<string, Promise<ReadonlyMap<string, PolicyHistory>>>();
    const all = [...this.#watched.values()].map(async (watched): Promise<PolicyStatus> => {
      const { settings, failures, lastError, lastVerify, running } = watched;
      const { location } = settings.storage;
      const history = histories.get(location) ?? this.#histories(settings);
      histories.set(location, history);
      const own = {
        ...this.#nextOf(watched),
        running: running !== undefined,
        consecutiveFailures: failures,
        ...(lastError !== undefined && { lastError }),
        ...(lastVerify && { lastVerify }),
      };
      try {
        const found = (await history).get(settings.name) ?? { count: 0 };
        return { ...statusOf(settings, found, this.#clock.now(), options.maxAgeMs), ...own };
      } catch (error) {
        const known = statusOf(settings, { count: 0 }, this.#clock.now(), options.maxAgeMs);
        return { ...known, overdue: settings.enabled, reason: reasonOf(error), ...own };
      }
    });
    return Promise.all(all);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Of a service that runs: it knows of runs that failed, too. */
  #nextOf(watched: Watched): Pick<PolicyStatus, "nextRun"> {
    if (!this.#end || watched.any === undefined || !watched.settings.enabled) return {};
    const { full, incremental } = this.#times(watched);
    const times = [full, incremental].filter((time) => time !== undefined);
    return times.length === 0 ? {} : { nextRun: new Date(Math.min(...times)) };
  }

  #named(policy: string): Watched {
    const watched = this.#watched.get(policy);
    if (watched) return watched;
    const names = this.#policies.names.slice(0, 20).join(", ");
    throw new ValidationError(`There is no policy ${JSON.stringify(policy)}. There are ${names}.`);
  }

  /** Opened when it is needed, and then kept. */
  #repository(settings: PolicySettings, create: boolean): Promise<Repository> {
    const key = JSON.stringify([settings.storage, settings.encryption]);
    const opened = this.#repositories.get(key);
    if (opened) return opened;
    const opening = openPolicyRepository(settings, this.#logger, { create });
    this.#repositories.set(key, opening);
    opening.catch(() => this.#repositories.delete(key));
    return opening;
  }

  async #histories(settings: PolicySettings): Promise<ReadonlyMap<string, PolicyHistory>> {
    const repository = await this.#repository(settings, false);
    return historiesOf(await repository.list());
  }

  /** Learns from the repositories when each policy ran last. */
  async #prepare(policies: readonly Watched[]): Promise<void> {
    const groups = Map.groupBy(policies, ({ settings: { storage } }) => storage.location);
    await Promise.all(
      [...groups.values()].map(async (group) => {
        try {
          await this.#look(group);
          for (const watched of group) this.#plan(watched);
        } catch (error) {
          // Where there is none yet, the first run makes it, or says why it does not.
          const isThere = !(error instanceof ValidationError);
          if (isThere) this.#logger.warn("a repository cannot be read", { reason: reasonOf(error) });
          for (const watched of group) watched.next = this.#clock.now() + (isThere ? LOOK_AGAIN_MS : 0);
        }
      }),
    );
  }

  async #look(group: readonly Watched[]): Promise<void> {
    const [first] = group;
    if (!first) return;
    const histories = await this.#histories(first.settings);
    for (const watched of group) {
      const { newest, newestFull } = histories.get(watched.settings.name) ?? {};
      watched.any ??= newest?.createdAt.getTime();
      watched.full ??= newestFull?.createdAt.getTime();
      if (this.#end || !newest) continue;
      watched.pruned = Math.min(watched.pruned, newest.createdAt.getTime());
      watched.verified = Math.min(watched.verified, newest.createdAt.getTime());
    }
  }

  #tick(): void {
    const [wall, monotonic] = [this.#clock.now(), this.#clock.monotonic()];
    const passed = wall - this.#lookedAt.wall - (monotonic - this.#lookedAt.monotonic);
    this.#lookedAt = { wall, monotonic };
    const isStep = Math.abs(passed) > STEP_MS;
    for (const watched of this.#watched.values()) {
      if (watched.running || watched.next === undefined) continue;
      if (isStep) this.#replan(watched, wall);
      if (watched.next > wall || !watched.settings.enabled) continue;
      void this.#enqueue(watched, () => this.#due(watched));
    }
  }

  /** After the clock was set. */
  #replan(watched: Watched, now: number): void {
    const { schedule, retention, verification } = watched.settings;
    const { full, incremental } = schedule;
    if (incremental && watched.any) watched.any = believedLast(incremental, watched.any, now);
    if (full && watched.full) watched.full = believedLast(full, watched.full, now);
    if (retention.schedule) watched.pruned = believedLast(retention.schedule, watched.pruned, now);
    if (verification.schedule) watched.verified = believedLast(verification.schedule, watched.verified, now);
    this.#plan(watched);
  }

  /** When there is something to do next. */
  #plan(watched: Watched): void {
    const times = this.#times(watched);
    watched.next = Math.min(...Object.values(times).filter((time) => time !== undefined));
  }

  /** When each kind of work is to begin, by its schedule and jitter. */
  #times({ settings, any, full, pruned, verified }: Watched) {
    const { schedule, retention, verification } = settings;
    const now = this.#clock.now();
    const time = (of: PolicySettings["schedule"]["full"], last: number | undefined) => {
      if (!of) return undefined;
      const due = nextDue(of, last, now);
      return due + (last === undefined ? 0 : jitterOf(settings.name, due, schedule.jitterMs));
    };
    return {
      full: time(schedule.full, full),
      incremental: time(schedule.incremental, any),
      prune: time(retention.schedule, pruned),
      verify: time(verification.schedule, verified),
    };
  }

  /** What is due now: a full backup in place of an incremental one. */
  async #due(watched: Watched): Promise<RunRequest> {
    if (watched.any === undefined) {
      await this.#look([watched]).catch((error: unknown) => {
        const meta = { policy: watched.settings.name, reason: reasonOf(error) };
        this.#logger.debug("it is not known when the policy ran last", meta);
      });
    }
    const now = this.#clock.now();
    const times = this.#times(watched);
    const isDue = (time: number | undefined) => time !== undefined && time <= now;
    const type = isDue(times.full) ? "full" : isDue(times.incremental) ? "incremental" : undefined;
    const prune = isDue(times.prune) || (type !== undefined && prunesAfterBackup(watched.settings));
    return { type, prune, verify: isDue(times.verify) };
  }

  /** Runs behind what runs of the policy already, when one of the places is free. */
  #enqueue(watched: Watched, request: () => Promise<RunRequest>): Promise<RunReport> {
    const { signal } = this.#stop;
    const before = watched.running;
    const run = (async () => {
      await before;
      return this.#slots.within(async () => {
        if (this.#closing) return this.#run(watched, { ...NOTHING, type: "incremental" }, STOPPED);
        return this.#run(watched, await request(), signal);
      });
    })();
    const settled = run.then(
      () => undefined,
      (error: unknown) => this.#logger.error("a run broke off", { reason: reasonOf(error) }),
    );
    watched.running = settled;
    void settled.then(() => {
      if (watched.running !== settled) return;
      watched.running = undefined;
      this.#plan(watched);
    });
    return run;
  }

  async #run(watched: Watched, request: RunRequest, signal: AbortSignal): Promise<RunReport> {
    const { settings } = watched;
    const now = this.#clock.now();
    if (request.type !== undefined) watched.any = now;
    if (request.type === "full") watched.full = now;
    if (request.prune) watched.pruned = now;
    if (request.verify) watched.verified = now;
    const isIdle = request.type === undefined && !request.prune && !request.verify;
    if (!isIdle) {
      this.#logger.info("a run begins", { policy: settings.name, ...request });
      this.#notices.begin(settings);
    }
    const report = await runPolicy(
      {
        ...{ settings, logger: this.#logger, signal, now: () => this.#clock.now() },
        openRepository: () => this.#repository(settings, true),
      },
      request,
    );
    if (isIdle) return report;
    this.#notices.end(settings, report, watched.failures);
    this.#keep(watched, report);
    this.#tell(report);
    return report;
  }

  #keep(watched: Watched, { outcome, error, endedAt, verification }: RunReport): void {
    if (verification) watched.lastVerify = { at: endedAt, ok: verification.every(({ ok }) => ok) };
    if (outcome === "aborted") return;
    watched.failures = outcome === "success" ? 0 : watched.failures + 1;
    watched.lastError = outcome === "success" ? undefined : reasonOf(error);
  }

  #tell(report: RunReport): void {
    const { policy, type, outcome, durationMs: ms, snapshot, error } = report;
    const meta = { policy, type, outcome, ms, snapshot: snapshot?.id };
    if (outcome === "failure") this.#logger.error("a run failed", { ...meta, reason: reasonOf(error) });
    else this.#logger.info("a run ended", meta);
    const failed = (thrown: unknown) => {
      const reason = isError(thrown) ? (thrown.stack ?? thrown.message) : reasonOf(thrown);
      this.#logger.warn("a listener of the service failed", { reason });
    };
    for (const { listener } of [...this.#listeners]) {
      try {
        const result = listener(report);
        Promise.resolve(result).catch(failed);
      } catch (thrown) {
        failed(thrown);
      }
    }
  }
}

const NOTHING: RunRequest = { prune: false, verify: false };
const STOPPED = AbortSignal.abort(new Error("The service was stopped."));

/** What has never been verified or pruned by this service waits for its schedule. */
function watch({ settings }: Policy, now: number): Watched {
  return {
    ...{ settings, any: undefined, full: undefined, pruned: now, verified: now },
    ...{ next: undefined, failures: 0, running: undefined },
  };
}

function prunesAfterBackup(settings: PolicySettings): boolean {
  return settings.retention.schedule === undefined && removesSnapshots(settings);
}
