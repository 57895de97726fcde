import { stackOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import type { Progress } from "../repository/index.ts";
import { Listeners } from "../util/listeners.ts";
import type { RunReport, RunStep, RunType } from "./run-policy.ts";

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

interface ServiceEvents {
  readonly run: RunReport;
  readonly work: readonly WorkUnderWay[];
}

/** What runs now, and who is told of it. What a listener throws, or rejects with, is a warning. */
export class WorkWatch {
  readonly #logger: Logger;
  readonly #listeners = new Listeners<ServiceEvents>({ run: true, work: true });
  readonly #work = new Map<string, WorkUnderWay>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** In the order in which they began. */
  get work(): readonly WorkUnderWay[] {
    return [...this.#work.values()];
  }

  onRun(listener: RunListener): () => void {
    return this.#listeners.on("run", listener);
  }

  onWork(listener: WorkListener): () => void {
    return this.#listeners.on("work", listener);
  }

  /** A run has begun, or got on. */
  set(work: WorkUnderWay): void {
    this.#work.set(work.policy, work);
    this.#tell("work", this.work);
  }

  end(report: RunReport): void {
    this.#work.delete(report.policy);
    this.#tell("run", report);
    this.#tell("work", this.work);
  }

  #tell<N extends keyof ServiceEvents>(name: N, event: ServiceEvents[N]): void {
    this.#listeners.tell(name, event, (thrown) =>
      this.#logger.warn("a listener of the service failed", { reason: stackOf(thrown) }),
    );
  }
}
