import { existsSync } from "node:fs";
import { BackupNotFoundError, LockedError, ValidationError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import type { BackupService } from "../policy/backup-service.ts";
import type { PolicySettings } from "../policy/policy-set.ts";
import type { PolicyStatus } from "../policy/policy-status.ts";
import type { RunReport } from "../policy/run-policy.ts";
import type { OnProgress, PruneReport, Repository, Snapshot } from "../repository/index.ts";
import type { Clock } from "../util/clock.ts";
import { counted, formatBytes } from "../util/format.ts";
import {
  daysOf,
  type Overview,
  type OverviewAsked,
  type PageSource,
  type PastRun,
  type PolicyCard,
  type PolicyPage,
  type RunKind,
  type SnapshotPage,
  STATES,
  type Work,
} from "./page-state.ts";
import { failedBefore, reportedRun, runsIn } from "./recorded-runs.ts";
import { RepositoryContents } from "./repository-content.ts";
import { inDirectory, nameOfSource, placesOf, restorableParts } from "./restore-places.ts";
import { soonest, stateOf } from "./standing.ts";

/** So many things that were done are kept in mind; what took snapshots is in the repository besides. */
const MOST_REMEMBERED = 1000;
const LATEST = 20;
const CARD_DAYS = 30;
const MOST_COMING = 6;
/** To look at so many policies takes a second of a processor: it is done for all who look at them, once in so long. */
const MANY_POLICIES = 1000;
const MANY_MS = 10_000;

interface Standing {
  readonly statuses: readonly PolicyStatus[];
  /** Of every policy, the newest first. */
  readonly runs: readonly PastRun[];
}
const CARDS_A_PAGE = 50;

/** What the page shows of a service, and asks of it. */
export class ServiceSource implements PageSource {
  readonly #service: BackupService;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #contents: RepositoryContents;
  /** What failed, also before the start, and what was done where there is no audit log. The oldest first. */
  readonly #remembered: PastRun[] = [];
  readonly #askedBy = new Map<string, string>();
  readonly #jobs = new Map<object, Work>();
  readonly #ended = new Set<Promise<unknown>>();
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(what: "work" | "changed", said?: string) => void>();
  readonly #unlisten: (() => void)[];
  #running = "";
  /** How many policies stood then, and when those are told who have seen what is no longer so. */
  #stood: { readonly at: number; readonly standing: Promise<Standing>; again?: NodeJS.Timeout } | undefined;

  constructor(service: BackupService, logger: Logger, clock: Clock) {
    this.#service = service;
    this.#logger = logger;
    this.#clock = clock;
    this.#contents = new RepositoryContents(service, logger, clock);
    this.#remembered.push(...failedBefore(service).slice(-MOST_REMEMBERED));
    this.#unlisten = [
      service.onRun((report) => this.#keepRun(report)),
      service.onWork((work) => {
        const running = work.map(({ policy, step }) => `${policy} ${step}`).join("\n");
        const isSame = running === this.#running;
        this.#running = running;
        this.#tell(isSame ? "work" : "changed");
      }),
    ];
  }

  async overview({ search = "", page = 1 }: OverviewAsked = {}): Promise<Overview> {
    const now = new Date(this.#clock.now());
    const { statuses: all, runs } = await this.#standing();
    const byPolicy = Map.groupBy(runs, ({ policy }) => policy);
    const sought = search.trim().toLowerCase();
    const statuses = all
      .filter(({ policy }) => policy.toLowerCase().includes(sought))
      .map((status) => ({ status, rank: STATES.indexOf(stateOf(status).state) }))
      .sort((a, b) => a.rank - b.rank || (a.status.policy < b.status.policy ? -1 : 1));
    const pages = Math.max(1, Math.ceil(statuses.length / CARDS_A_PAGE));
    const shown = Math.min(pages, Math.max(1, Math.trunc(page) || 1));
    const cards = statuses
      .slice((shown - 1) * CARDS_A_PAGE, shown * CARDS_A_PAGE)
      .map(({ status }) => this.#card(status, byPolicy.get(status.policy) ?? [], now));
    return {
      ...{ file: this.#service.policies.file, now, cards, work: this.work(), search, page: shown, pages },
      counts: new Map(
        STATES.map((state) => [state, all.filter((status) => stateOf(status).state === state).length]),
      ),
      coming: soonest(all, MOST_COMING),
      ...{ runs: runs.slice(0, LATEST), days: daysOf(runs, now) },
    };
  }

  async policy(name: string): Promise<PolicyPage | undefined> {
    const settings = this.#service.policies.get(name)?.settings;
    if (!settings) return undefined;
    const now = new Date(this.#clock.now());
    const [[status], { snapshots: all, entries }] = await Promise.all([
      this.#service.status({ policies: [name] }),
      this.#contents.of(settings),
    ]);
    if (!status) return undefined;
    const snapshots = all.filter((snapshot) => snapshot.name === name);
    const own = this.#remembered.filter((run) => run.policy === name);
    const runs = runsIn([{ snapshots, entries }], own, this.#retryWindowMs).filter(
      ({ policy }) => policy === name,
    );
    const work = this.work().filter(({ policy }) => policy === name);
    return { now, card: this.#card(status, runs, now), work, runs, days: daysOf(runs, now), snapshots };
  }

  async snapshot(policy: string, id: string): Promise<SnapshotPage | undefined> {
    const repository = await this.#repositoryWith(policy, id);
    if (!repository) return undefined;
    const snapshot = await repository.get(id);
    const work = this.work().filter((work) => work.policy === policy);
    return { now: new Date(this.#clock.now()), policy, work, snapshot };
  }

  work(): readonly Work[] {
    const ofService = this.#service.work.map(({ policy, type, step, startedAt, progress }) => ({
      ...{ policy, step, startedAt, progress, by: this.#askedBy.get(policy) },
      kind: type ?? (step === "backup" ? "incremental" : step),
    }));
    return [...ofService, ...this.#jobs.values()];
  }

  async prunePlan(policy: string): Promise<PruneReport> {
    const { retention } = this.#settings(policy);
    const repository = await this.#service.repository(policy);
    const { rules, graceHours } = retention;
    return repository.prune({ ...rules, name: policy, graceHours, dryRun: true });
  }

  run(policy: string, type: "full" | "incremental", by: string): string {
    return this.#begin(policy, by, `A backup of ${policy} begins.`, () =>
      this.#service.run(policy, type, { actor: by }),
    );
  }

  verify(policy: string, by: string): string {
    return this.#begin(policy, by, `A verification of ${policy} begins.`, () =>
      this.#service.runOnly(policy, "verify", { actor: by }),
    );
  }

  prune(policy: string, by: string): string {
    return this.#begin(policy, by, `What ${policy} does not keep is removed.`, () =>
      this.#service.runOnly(policy, "prune", { actor: by }),
    );
  }

  async verifySnapshot(policy: string, id: string, by: string): Promise<string> {
    const repository = await this.#needed(policy, id, by);
    const { restoreTest, readData } = this.#settings(policy).verification;
    this.#job(policy, "verify", by, id, async (onProgress, signal) => {
      const results = await repository.verify(id, { restoreTest, readData, onProgress, signal });
      const wrong = results.find(({ ok }) => !ok);
      if (wrong) throw wrong.error ?? new ValidationError(wrong.details);
      return `${counted(results.length, "check")} passed.`;
    });
    return `A verification of snapshot ${id} begins.`;
  }

  async restore(policy: string, id: string, target: string, by: string): Promise<string> {
    const repository = await this.#needed(policy, id, by);
    const { parts, left } = restorableParts((await repository.get(id)).parts);
    if (parts.length === 0) {
      throw new ValidationError("It belongs in a database server: restore it from a terminal.");
    }
    if (existsSync(target)) {
      throw new ValidationError(
        `${target} is there already: a restore from this page goes into a new directory.`,
      );
    }
    this.#job(policy, "restore", by, id, async (onProgress, signal) => {
      const targets = placesOf(parts, target);
      const reports = await inDirectory(targets.length > 1 ? target : undefined, async () => {
        const report = await repository.restore(id, { targets, onProgress, signal });
        return report.parts;
      });
      const bytes = reports.reduce((sum, report) => sum + report.bytes, 0);
      const without = [
        ...left.map(nameOfSource),
        ...reports.flatMap(({ leftOut }) => leftOut.map(({ table }) => table)),
      ];
      const rest = without.length > 0 ? ` Without: ${without.join(", ")}.` : "";
      return `${formatBytes(bytes)} into ${target}.${rest}`;
    });
    return `A restore into ${target} begins.`;
  }

  onChange(listener: (what: "work" | "changed", said?: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    for (const unlisten of this.#unlisten) unlisten();
    clearTimeout(this.#stood?.again);
    this.#stop.abort(new Error("The page was closed."));
    await Promise.all(this.#ended);
  }

  #settings(policy: string): PolicySettings {
    const found = this.#service.policies.get(policy);
    if (!found) throw new ValidationError(`There is no policy ${JSON.stringify(policy)}.`);
    return found.settings;
  }

  readonly #retryWindowMs = (policy: string): number =>
    this.#service.policies.get(policy)?.settings.schedule.retryWindowMs ?? 0;

  /** One thing of a policy at a time is asked for here: the page shows what runs, and a second button press means nothing. */
  #begin(policy: string, by: string, said: string, work: () => Promise<unknown>): string {
    this.#settings(policy);
    if (this.#askedBy.has(policy) || this.#service.work.some((one) => one.policy === policy)) {
      throw new LockedError(`${policy} runs already. Wait for its end.`);
    }
    this.#askedBy.set(policy, by);
    this.#logger.info("asked for on the page", { policy, by, said });
    const ended = work()
      .catch((error: unknown) =>
        this.#logger.error("a run ended unexpectedly", { policy, reason: reasonOf(error) }),
      )
      .finally(() => {
        this.#askedBy.delete(policy);
        this.#tell("changed");
      });
    void ended;
    return said;
  }

  /** Something that the service does not know of. */
  #job(
    policy: string,
    kind: RunKind,
    by: string,
    snapshot: string,
    work: (onProgress: OnProgress, signal: AbortSignal) => Promise<string>,
  ): void {
    const key = {};
    const [startedAt, started] = [new Date(this.#clock.now()), this.#clock.monotonic()];
    const set = (progress?: Work["progress"]) =>
      this.#jobs.set(key, { policy, kind, startedAt, by, progress });
    const end = (outcome: PastRun["outcome"], details: string) => {
      this.#jobs.delete(key);
      const durationMs = Math.round(this.#clock.monotonic() - started);
      const at = new Date(this.#clock.now());
      this.#remember({ policy, kind, at, outcome, durationMs, snapshot, by, details });
    };
    set();
    this.#logger.info("asked for on the page", { policy, by, kind, snapshot });
    this.#tell("changed");
    const { signal } = this.#stop;
    const onProgress: OnProgress = (progress) => {
      set(progress);
      this.#tell("work");
    };
    const ended = work(onProgress, signal).then(
      (details) => end("success", details),
      (error: unknown) => end(signal.aborted ? "aborted" : "failure", reasonOf(error)),
    );
    this.#ended.add(ended);
    void ended.then(() => this.#ended.delete(ended));
  }

  #keepRun(report: RunReport): void {
    this.#remember({ ...reportedRun(report), by: this.#askedBy.get(report.policy) });
  }

  #remember(run: PastRun): void {
    this.#contents.forget();
    this.#remembered.push(run);
    if (this.#remembered.length > MOST_REMEMBERED) this.#remembered.shift();
    this.#tell("changed", `${run.policy}: ${KIND_IN_WORDS[run.kind]}, ${OUTCOME_IN_WORDS[run.outcome]}.`);
  }

  #standing(): Promise<Standing> {
    const now = this.#clock.monotonic();
    if (this.#stood && now - this.#stood.at < MANY_MS) return this.#stood.standing;
    const looking = Promise.all([this.#service.status(), this.#allRuns()]);
    const standing = looking.then(([statuses, runs]) => ({ statuses, runs }));
    if (this.#service.policies.names.length <= MANY_POLICIES) return standing;
    clearTimeout(this.#stood?.again);
    const stood = { at: now, standing };
    this.#stood = stood;
    standing.catch(() => {
      if (this.#stood === stood) this.#stood = undefined;
    });
    return standing;
  }

  #tell(what: "work" | "changed", said?: string): void {
    const stood = this.#stood;
    if (what === "changed" && stood && !stood.again) {
      const tellAgain = () => {
        if (this.#stood === stood) this.#stood = undefined;
        this.#tell("changed");
      };
      const left = Math.max(0, stood.at + MANY_MS - this.#clock.monotonic());
      stood.again = setTimeout(tellAgain, left).unref();
    }
    for (const listener of [...this.#listeners]) listener(what, said);
  }

  /** Of every policy, the newest first. */
  async #allRuns(): Promise<PastRun[]> {
    const contents = await this.#contents.all();
    const known = new Set(this.#service.policies.names);
    return runsIn(contents, this.#remembered, this.#retryWindowMs).filter(({ policy }) => known.has(policy));
  }

  async #snapshotsOf(settings: PolicySettings): Promise<readonly Snapshot[]> {
    const { snapshots } = await this.#contents.of(settings);
    return snapshots.filter(({ name }) => name === settings.name);
  }

  /** Undefined where the policy, or the snapshot in it, is not there. */
  async #repositoryWith(policy: string, id: string, actor?: string): Promise<Repository | undefined> {
    const settings = this.#service.policies.get(policy)?.settings;
    if (!settings) return undefined;
    const snapshots = await this.#snapshotsOf(settings);
    return snapshots.some((snapshot) => snapshot.id === id)
      ? this.#service.repository(policy, { actor })
      : undefined;
  }

  async #needed(policy: string, id: string, actor: string): Promise<Repository> {
    const repository = await this.#repositoryWith(policy, id, actor);
    if (!repository) throw new BackupNotFoundError(id, `${policy} has no snapshot ${id}.`);
    return repository;
  }

  #card(status: PolicyStatus, runs: readonly PastRun[], now: Date): PolicyCard {
    const { policy: name, location, lastSuccess, nextRun, lastVerify, snapshots, bytes } = status;
    const { description, schedule, sources } = this.#settings(name);
    return {
      ...{ name, description, location, lastSuccess, nextRun, lastVerify, snapshots, bytes },
      ...stateOf(status),
      schedule: {
        full: schedule.full?.text,
        incremental: schedule.incremental?.text,
        timeZone: schedule.timeZone,
      },
      sources: [...new Set(sources.map(({ type }) => type))],
      newBytes: runs.find((run) => run.newBytes !== undefined)?.newBytes,
      days: daysOf(runs, now, CARD_DAYS),
    };
  }
}

const KIND_IN_WORDS: Record<RunKind, string> = {
  full: "full backup",
  incremental: "backup",
  verify: "verification",
  prune: "removal of old snapshots",
  restore: "restore",
};

const OUTCOME_IN_WORDS: Record<PastRun["outcome"], string> = {
  success: "done",
  failure: "failed",
  aborted: "stopped",
};
