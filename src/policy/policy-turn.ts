import { setTimeout as sleep } from "node:timers/promises";
import { LockedError } from "../errors.ts";
import type { Repository } from "../repository/index.ts";
import { abortable } from "../util/abortable.ts";

/** The lease that a turn holds. */
type Held = Awaited<ReturnType<Repository["holdPolicy"]>>;

/** After so long it is looked who is in the way. */
const LOOK_MS = 1000;
/** Two that begin at once withdraw for each other and come again under new names; in so many looks one of them has it. */
const MOST_LOOKS = 30;
/** Where nobody is seen who has it, or another than before. Also a store that refuses at once is asked no more often. */
const SHORT_PAUSE_MS = 100;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/** Another process runs the policy, or has just run it: this run is left out. Not for ever, so it is no failure. */
export class RunsElsewhereError extends LockedError {}

export interface TurnOptions {
  readonly policy: string;
  /** What tells its sources from those of other policies of its name. */
  readonly sources: readonly string[];
  readonly openRepository: () => Promise<Repository>;
  /** Whether it is waited for another process that runs the policy, however long. */
  readonly waits: boolean;
}

/** Told when it is waited for another process, and when it no longer is. */
type OnWait = (isWaiting: boolean) => void | Promise<void>;

export interface TakeTurnOptions {
  /** Ends the wait, also for a storage that does not answer. */
  readonly signal: AbortSignal;
  readonly onWait?: OnWait;
}

/** A policy's turn: while it is held, no other process runs the policy, on this machine or on another. */
export class PolicyTurn implements AsyncDisposable {
  readonly #options: TurnOptions;
  #lease: Held | undefined;

  constructor(options: TurnOptions) {
    this.#options = options;
  }

  get isHeld(): boolean {
    return this.#lease?.isHeld === true;
  }

  /**
   * Takes the turn where it is not held, or was lost: the machine may have slept. Answers with the policy's repository.
   *
   * @throws RunsElsewhereError saying where, and since when. @throws the errors of opening, and of writing a lease. @throws the
   * signal's reason.
   */
  take(options: TakeTurnOptions): Promise<Repository> {
    return abortable(() => this.#take(options), options.signal);
  }

  async #take({ signal, onWait }: TakeTurnOptions): Promise<Repository> {
    const repository = await this.#options.openRepository();
    if (this.isHeld) return repository;
    signal.throwIfAborted();
    await this.#lease?.release();
    const lease = await this.#acquire(repository, signal, onWait);
    // Nobody waits for it any more, and nobody would give it back.
    if (signal.aborted) await lease.release();
    signal.throwIfAborted();
    this.#lease = lease;
    return repository;
  }

  async #acquire(repository: Repository, signal: AbortSignal, onWait: OnWait | undefined): Promise<Held> {
    const { waits } = this.#options;
    let seen = "";
    for (let looks = 0, pauseMs = FIRST_PAUSE_MS; ; looks++) {
      try {
        return await repository.holdPolicy(this.#options, { signal, timeoutMs: LOOK_MS });
      } catch (error) {
        if (!(error instanceof LockedError)) throw error;
        const holder = await repository.policyHolder(this.#options);
        const isEnough = looks >= MOST_LOOKS;
        const isHeld = holder?.name === seen;
        seen = holder?.name ?? "";
        if (!holder && isEnough) throw error;
        if (!holder || (!isHeld && !isEnough)) {
          await pause(SHORT_PAUSE_MS, signal);
          continue;
        }
        if (!waits) throw new RunsElsewhereError(`It is being run by ${holder.holder}.`, { cause: error });
      }
      await onWait?.(true);
      await pause(pauseMs, signal);
      await onWait?.(false);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lease?.release();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
