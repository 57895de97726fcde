import { ExponentialBackoff, handleWhen, retry } from "cockatiel";
import {
  BackupNotFoundError,
  CorruptError,
  ShrunkError,
  UnsupportedError,
  ValidationError,
} from "../errors.ts";
import { RunsElsewhereError } from "./policy-turn.ts";

export interface RetryOptions {
  /** How long it is tried again after it has begun, milliseconds. */
  readonly windowMs: number;
  readonly signal: AbortSignal;
  readonly onRetry: (error: unknown, attempt: number, delayMs: number) => void;
}

const FIRST_DELAY_MS = 2000;
const LONGEST_DELAY_MS = 300_000;

/**
 * Does work, and again where it failed and may go well later, with growing pauses, within its window. When the signal
 * is aborted, no pause goes on, and an attempt under way is waited for.
 *
 * @throws the error of the last attempt; the signal's reason.
 */
export async function withRetries<T>(
  work: (attempt: number) => Promise<T>,
  { windowMs, signal, onRetry }: RetryOptions,
): Promise<T> {
  const started = performance.now();
  const longest = Math.min(LONGEST_DELAY_MS, windowMs / 4);
  const isWorthwhile = (error: unknown) =>
    !signal.aborted && performance.now() - started < windowMs && mayGetBetter(error);
  const policy = retry(handleWhen(isWorthwhile), {
    maxAttempts: Number.MAX_SAFE_INTEGER,
    backoff: new ExponentialBackoff({ initialDelay: Math.min(FIRST_DELAY_MS, longest), maxDelay: longest }),
  }).dangerouslyUnref();
  let attempt = 0;
  let running: Promise<T> | undefined;
  policy.onRetry((failure) =>
    onRetry("error" in failure ? failure.error : undefined, attempt, failure.delay),
  );
  const done = policy.execute(() => {
    signal.throwIfAborted();
    running = work(++attempt);
    return running;
  }, signal);
  const stopped = Promise.withResolvers<never>();
  const stop = () => void Promise.allSettled([running]).then(() => stopped.reject(signal.reason));
  signal.addEventListener("abort", stop, { once: true });
  // Pauses do not keep the process alive: an aborted one would keep it for minutes.
  const awake = setInterval(() => undefined, LONGEST_DELAY_MS);
  try {
    return await Promise.race([done, stopped.promise]);
  } finally {
    clearInterval(awake);
    signal.removeEventListener("abort", stop);
  }
}

/** Whether the same work may go well later: not where the configuration is wrong, the key, the data, or the program. */
function mayGetBetter(error: unknown): boolean {
  const hopeless = [
    ValidationError,
    UnsupportedError,
    CorruptError,
    ShrunkError,
    BackupNotFoundError,
    RunsElsewhereError,
    TypeError,
  ];
  return !hopeless.some((kind) => error instanceof kind);
}
