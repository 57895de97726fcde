import { setTimeout as sleep } from "node:timers/promises";
import { assertKnown, assertMilliseconds } from "../../checks.ts";
import { ValidationError } from "../../errors.ts";

/** How often and how long a call to a store is made again. */
export interface RetryOptions {
  /** How often at most it is made, the first time included. Default 6; 1: never again. */
  readonly attempts?: number | undefined;
  /** None is made again when so many milliseconds have passed since the first. Default 120,000. */
  readonly timeMs?: number | undefined;
}

/** A call that failed, and is made again. */
export interface Retry {
  readonly error: unknown;
  /** How often it has failed. */
  readonly failures: number;
  /** Milliseconds until it is made again. */
  readonly pauseMs: number;
}

const ATTEMPTS = 6;
const TIME_MS = 120_000;

/** Growing pauses, none alike: many clients that failed together do not come back together. */
async function firstPause() {
  const { ExponentialBackoff } = await import("cockatiel");
  return new ExponentialBackoff({ initialDelay: 200, maxDelay: 30_000 }).next();
}

/** Errors after which somebody has already tried as often as is right: who gets one from below does not begin anew. */
const given = new WeakSet<object>();

/** When a call is made again. One that failed for good, or too often, or for too long, is not. */
export class RetryPolicy {
  readonly #attempts: number;
  readonly #timeMs: number;
  readonly #onRetry: ((retry: Retry) => void) | undefined;

  constructor({ attempts = ATTEMPTS, timeMs = TIME_MS }: RetryOptions, onRetry?: (retry: Retry) => void) {
    this.#attempts = attempts;
    this.#timeMs = timeMs;
    this.#onRetry = onRetry;
  }

  /** One budget of attempts and time. */
  begin(isTransient: (error: unknown) => boolean, signal?: AbortSignal): Tries {
    const begun = performance.now();
    let pause: Awaited<ReturnType<typeof firstPause>> | undefined;
    let failures = 0;
    return {
      failed: async (error) => {
        signal?.throwIfAborted();
        if (isGivenUp(error) || !isTransient(error)) throw error;
        failures++;
        pause = pause === undefined ? await firstPause() : (pause.next(undefined) as typeof pause);
        const pauseMs = Math.max(pause.duration, retryAfterOf(error));
        if (failures >= this.#attempts || performance.now() - begun + pauseMs > this.#timeMs) {
          if (typeof error === "object" && error !== null) given.add(error);
          throw error;
        }
        this.#onRetry?.({ error, failures, pauseMs: Math.round(pauseMs) });
        // The policy of cockatiel waits to the end of a pause, whatever a signal says.
        await sleep(pauseMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
      },
    };
  }

  /** @throws what `task` throws the last time; the signal's reason, at once. */
  async run<T>(
    task: () => Promise<T>,
    isTransient: (error: unknown) => boolean,
    signal?: AbortSignal,
  ): Promise<T> {
    const tries = this.begin(isTransient, signal);
    for (;;) {
      try {
        return await task();
      } catch (error) {
        await tries.failed(error);
      }
    }
  }
}

export interface Tries {
  /** Waits until the call may be made again. @throws `error` where it may not; the signal's reason. */
  failed(error: unknown): Promise<void>;
}

function isGivenUp(error: unknown): boolean {
  return typeof error === "object" && error !== null && given.has(error);
}

/** What the store has asked for. */
function retryAfterOf(error: unknown): number {
  const { retryAfterMs } = (error ?? {}) as { readonly retryAfterMs?: unknown };
  return typeof retryAfterMs === "number" && retryAfterMs > 0 ? retryAfterMs : 0;
}

/** @throws TypeError, ValidationError */
export function assertRetry(retry: RetryOptions | false | undefined): void {
  if (retry === undefined || retry === false) return;
  assertKnown(retry, "retry", { attempts: true, timeMs: true });
  const { attempts = ATTEMPTS, timeMs } = retry;
  if (!Number.isInteger(attempts) || attempts < 1)
    throw new ValidationError(`attempts must be a whole number from 1, not ${attempts}.`);
  assertMilliseconds(timeMs, "timeMs");
}
