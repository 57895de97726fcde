import { isError, reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import type { Progress } from "../repository/index.ts";
import type { RunReport, RunType } from "./run-policy.ts";

/** What a run of a policy is at. */
export type RunStep = "backup" | "prune" | "verify";

/** A run of a policy that is under way. */
export interface WorkUnderWay {
  readonly policy: string;
  /** What is backed up; undefined where only a verification or a prune was asked for. */
  readonly type?: RunType | undefined;
  readonly step: RunStep;
  readonly startedAt: Date;
  /** Undefined where the step tells none, or has not told any. */
  readonly progress?: Progress | undefined;
}

/** Who hears of runs that have ended. */
export type RunListener = (report: RunReport) => unknown;

/** Who hears that a run has begun, got on, or ended. */
export type WorkListener = (work: readonly WorkUnderWay[]) => unknown;

/** What runs now, and who is told of it. What a listener throws, or rejects with, is a warning. */
export class WorkWatch {
  readonly #logger: Logger;
  /** Each listener has its own box: the same function may listen twice. */
  readonly #onRun = new Set<{ readonly listener: RunListener }>();
  readonly #onWork = new Set<{ readonly listener: WorkListener }>();
  readonly #work = new Map<string, WorkUnderWay>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** In the order in which they began. */
  get work(): readonly WorkUnderWay[] {
    return [...this.#work.values()];
  }

  onRun(listener: RunListener): () => void {
    return subscribe(this.#onRun, listener);
  }

  onWork(listener: WorkListener): () => void {
    return subscribe(this.#onWork, listener);
  }

  /** A run has begun, or got on. */
  set(work: WorkUnderWay): void {
    this.#work.set(work.policy, work);
    this.#tell(this.#onWork, this.work);
  }

  end(report: RunReport): void {
    this.#work.delete(report.policy);
    this.#tell(this.#onRun, report);
    this.#tell(this.#onWork, this.work);
  }

  #tell<T>(boxes: ReadonlySet<{ readonly listener: (value: T) => unknown }>, value: T): void {
    const failed = (thrown: unknown) => {
      const reason = isError(thrown) ? (thrown.stack ?? thrown.message) : reasonOf(thrown);
      this.#logger.warn("a listener of the service failed", { reason });
    };
    for (const { listener } of [...boxes]) {
      try {
        Promise.resolve(listener(value)).catch(failed);
      } catch (thrown) {
        failed(thrown);
      }
    }
  }
}

function subscribe<L>(boxes: Set<{ readonly listener: L }>, listener: L): () => void {
  if (typeof listener !== "function") throw new TypeError("listener must be a function.");
  const box = { listener };
  boxes.add(box);
  return () => void boxes.delete(box);
}
