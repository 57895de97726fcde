import { filesThread } from "../../util/build-facts.ts";
import { OwnThread } from "../own-thread.ts";
import { TASKS, type TaskInput, type TaskName, type TaskResult } from "./file-tasks.ts";
import type { Batch, Outcome } from "./worker.ts";

/** Threads beside the main one, also where there are fewer processors: while one waits for the disk, another hashes. */
export const THREADS = 4;

/** A message to a thread carries at most this much: enough to make it worth, little enough to spread the work. */
const BATCH_TASKS = 64;
const BATCH_BYTES = 4 << 20;

/** Less than this is done quicker here than a thread starts. */
const INLINE_BYTES = 8 << 20;

export interface PoolOptions<K extends TaskName> {
  /** Bytes that a task reads, for sharing out the work. */
  readonly bytesOf: (input: TaskInput<K>) => number;
  /** Called as each task is done, in any order. */
  readonly onDone: (input: TaskInput<K>, result: TaskResult<K>) => void;
  readonly parallel?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Does all tasks, shared out among worker threads. Fails with the first error, a system's error with its `code`,
 * when the tasks under way have ended. An abort takes effect between tasks. Where the system has fewer threads to give, those
 * do the work; where it has none, it is done here.
 *
 * @throws IoError where a thread ended in the middle of a task.
 */
export async function runTasks<K extends TaskName>(
  name: K,
  inputs: readonly TaskInput<K>[],
  options: PoolOptions<K>,
): Promise<void> {
  const { bytesOf, onDone, signal } = options;
  const total = inputs.reduce((sum, input) => sum + bytesOf(input), 0);
  if (inputs.length <= 1 || total < INLINE_BYTES) return runHere(name, inputs, options);
  const batches = batchesOf(inputs, bytesOf);
  const size = options.parallel ?? THREADS;
  let next = 0;
  let failed = false;
  const work = async () => {
    await using thread = OwnThread.start<Batch, Outcome[]>(
      filesThread,
      "A thread that reads and writes files",
    );
    while (thread && !failed && next < batches.length) {
      signal?.throwIfAborted();
      const batch = batches[next++] ?? [];
      const outcomes = await thread.ask({ name, inputs: batch });
      outcomes.forEach((outcome, index) => {
        if (!outcome.ok) throw errorFrom(outcome);
        onDone(batch[index] as TaskInput<K>, outcome.result as TaskResult<K>);
      });
    }
  };
  const settled = await Promise.allSettled(
    Array.from({ length: Math.min(size, batches.length) }, () =>
      work().catch((error: unknown) => {
        failed = true;
        throw error;
      }),
    ),
  );
  for (const result of settled) if (result.status === "rejected") throw result.reason;
  await runHere(name, batches.slice(next).flat(), options);
}

async function runHere<K extends TaskName>(
  name: K,
  inputs: readonly TaskInput<K>[],
  { onDone, signal }: PoolOptions<K>,
): Promise<void> {
  const task = TASKS[name] as (input: TaskInput<K>) => TaskResult<K>;
  for (const input of inputs) {
    signal?.throwIfAborted();
    onDone(input, task(input));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function batchesOf<T>(inputs: readonly T[], bytesOf: (input: T) => number): T[][] {
  const batches: T[][] = [];
  let batch: T[] = [];
  let bytes = 0;
  for (const input of inputs) {
    if (batch.length === BATCH_TASKS || (batch.length > 0 && bytes + bytesOf(input) > BATCH_BYTES)) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(input);
    bytes += bytesOf(input);
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

function errorFrom({ message, code }: { message: string; code: string | undefined }): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}
