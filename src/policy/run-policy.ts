import { IoError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import type {
  Progress,
  PruneReport,
  Repository,
  TakenSnapshot,
  VerificationResult,
} from "../repository/index.ts";
import { formatDuration } from "../util/format.ts";
import type { Slot } from "../util/slots.ts";
import { withSpan } from "../util/trace-span.ts";
import type { PolicySettings } from "./policy-set.ts";
import { hasSourcesOf, sourcesOf } from "./policy-sources.ts";
import { type PolicyTurn, RunsElsewhereError } from "./policy-turn.ts";
import { TimeLimit } from "./time-limit.ts";

export type RunType = "full" | "incremental";

/** What a run of a policy came to. */
export interface RunReport {
  readonly policy: string;
  /** What was backed up; undefined where only a verification or a prune was due. */
  readonly type?: RunType | undefined;
  /** What it was at where it failed or was stopped; undefined where it did all. */
  readonly step?: RunStep | undefined;
  /**
   * `aborted`: the service was stopped. `skipped`: another process runs the policy, which `error` names; nothing was done. A run
   * that took too long is a failure.
   */
  readonly outcome: "success" | "failure" | "aborted" | "skipped";
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly durationMs: number;
  /** How often the backup was begun. */
  readonly attempts: number;
  readonly snapshot?: TakenSnapshot | undefined;
  readonly prune?: PruneReport | undefined;
  readonly verification?: readonly VerificationResult[] | undefined;
  /** The first thing that failed; damage that was found is in `verification`, and makes the outcome a failure too. */
  readonly error?: unknown;
}

/** What is to be done. */
export interface RunRequest {
  readonly type?: RunType | undefined;
  readonly prune: boolean;
  readonly verify: boolean;
  /** Who asked for it, for the audit log. */
  readonly actor?: string | undefined;
}

interface RunContext {
  readonly settings: PolicySettings;
  readonly turn: PolicyTurn;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly now: () => number;
  /** Its place among those that run: others have it while this one waits to be tried again. */
  readonly slot: Slot;
  /** Told once, when it has its turn, or cannot have it for another reason than that somebody else has it. */
  readonly onBegin: () => void;
  /** Told when a step begins, and how far it has come. */
  readonly onStep: (step: RunStep, progress?: Progress) => void;
}

type StepContext = Pick<RunContext, "settings" | "signal" | "onStep"> & {
  readonly takeTurn: () => Promise<Repository>;
};

/** The tag of snapshots for which every byte was read. */
export const FULL_TAG = "full";

/**
 * Runs a policy: a backup, tried again within its window, then what is removed, then what is verified. Each that fails
 * ends the run. Never throws.
 */
export async function runPolicy(context: RunContext, request: RunRequest): Promise<RunReport> {
  const attributes = { policy: context.settings.name, type: request.type };
  return withSpan("run", { attributes }, async (span) => {
    const report = await carryOut(context, request);
    const { outcome, attempts, snapshot, error } = report;
    span.set({ outcome, attempts, snapshot: snapshot?.id });
    if (outcome === "failure") span.fail(error);
    return report;
  });
}

async function carryOut(context: RunContext, request: RunRequest): Promise<RunReport> {
  const { settings, logger, now } = context;
  const { timeoutMs } = settings.schedule;
  using limit = timeoutMs === undefined ? undefined : new TimeLimit(timeoutMs);
  const signal = AbortSignal.any([context.signal, ...(limit ? [limit.signal] : [])]);
  const [startedAt, started] = [new Date(now()), performance.now()];
  const done: { snapshot?: TakenSnapshot; prune?: PruneReport; verification?: VerificationResult[] } = {};
  let attempts = 0;
  let step: RunStep | undefined;
  let lastError: unknown;
  const onStep: RunContext["onStep"] = (begun, progress) => {
    step = begun;
    context.onStep(begun, progress);
  };
  let isBegun = false;
  const begin = () => {
    if (!isBegun) context.onBegin();
    isBegun = true;
  };
  // What others take is not this run's time.
  const onWait = async (isWaiting: boolean) => {
    if (isWaiting) {
      limit?.pause();
      context.slot.leave();
    } else {
      await context.slot.enter(signal);
      limit?.resume();
    }
  };
  const takeTurn = async () => {
    try {
      const repository = await context.turn.take({ signal, onWait });
      begin();
      return repository;
    } catch (error) {
      if (!(error instanceof RunsElsewhereError)) begin();
      throw error;
    }
  };
  const at: StepContext = { settings, signal, onStep, takeTurn };
  const report = (outcome: RunReport["outcome"], error?: unknown): RunReport => ({
    ...{ policy: settings.name, type: request.type, outcome, startedAt, endedAt: new Date(now()) },
    ...{ durationMs: Math.round(performance.now() - started), attempts },
    ...done,
    ...(outcome !== "success" && step !== undefined && { step }),
    ...(error !== undefined && { error }),
  });
  try {
    const { type } = request;
    if (type !== undefined) {
      const { withRetries } = await import("./retry-run.ts");
      done.snapshot = await withRetries(
        async (attempt) => {
          limit?.pause();
          await onWait(false);
          attempts = attempt;
          return backUp(at, type);
        },
        {
          windowMs: settings.schedule.retryWindowMs,
          signal,
          onRetry: (error, attempt, delayMs) => {
            context.slot.leave();
            lastError = error;
            logger.warn("a backup failed and is tried again", {
              ...{ policy: settings.name, attempt, delayMs: Math.round(delayMs), reason: reasonFor(error) },
            });
          },
        },
      );
      lastError = undefined;
    }
    if (request.prune) done.prune = await prune(at);
    if (request.verify) {
      done.verification = await verify(at);
      const wrong = done.verification.find(({ ok }) => !ok);
      if (wrong) return report("failure", wrong.error);
    }
    return report("success");
  } catch (error) {
    if (context.signal.aborted) return report("aborted", error);
    if (error instanceof RunsElsewhereError && done.snapshot === undefined) return report("skipped", error);
    return report("failure", signal.aborted ? tookTooLong(timeoutMs, lastError) : error);
  }
}

/** @param cause why what was tried before failed. */
function tookTooLong(timeoutMs = 0, cause?: unknown): IoError {
  const what = `The run took longer than its timeout, ${formatDuration(timeoutMs)}, and was stopped.`;
  if (cause === undefined) return new IoError(what);
  return new IoError(`${what} The attempt before had failed: ${reasonFor(cause)}`, { cause });
}

async function backUp(
  { settings, takeTurn, signal, onStep }: StepContext,
  type: RunType,
): Promise<TakenSnapshot> {
  const repository = await takeTurn();
  onStep("backup");
  const { name, description, tags, failOnShrink, allowEmpty } = settings;
  return repository.backup({
    sources: await sourcesOf(settings.sources),
    ...{ name, description, failOnShrink, allowEmpty, type, signal },
    onProgress: (progress) => onStep("backup", progress),
    tags: type === "full" ? [...tags, FULL_TAG] : tags,
  });
}

async function prune({ settings, takeTurn, signal, onStep }: StepContext): Promise<PruneReport> {
  const repository = await takeTurn();
  onStep("prune");
  const { rules, graceHours } = settings.retention;
  // Several policies may keep their snapshots in one repository, each by rules of its own.
  return repository.prune({ ...rules, name: settings.name, graceHours, signal });
}

const DAY_MS = 86_400_000;

async function verify({ settings, takeTurn, signal, onStep }: StepContext): Promise<VerificationResult[]> {
  const repository = await takeTurn();
  onStep("verify");
  const { restoreTest, readData, rollingMs } = settings.verification;
  const onProgress = (progress: Progress) => onStep("verify", progress);
  // By its id: a name is not enough where the policy had other sources before, or another machine has one of its name.
  const named = await repository.list({ name: settings.name });
  const newest = named.find(hasSourcesOf(settings.sources, "to tell")) ?? named[0];
  if (!newest) return [];
  const results = await repository.verify(newest.id, { restoreTest, readData, signal, onProgress });
  if (rollingMs === undefined) return results;
  const rollingDays = rollingMs / DAY_MS;
  return [...results, ...(await repository.verify(undefined, { rollingDays, signal, onProgress }))];
}

/** Whether its rules remove anything at all. */
export function removesSnapshots({ retention: { rules } }: PolicySettings): boolean {
  const { timeZone: _zone, keepTags: _tags, ...removing } = rules;
  return Object.values(removing).some((rule) => rule !== undefined);
}

function reasonFor(error: unknown): string {
  return reasonOf(error);
}

/** What a run of a policy is at. */
export type RunStep = "backup" | "prune" | "verify";
