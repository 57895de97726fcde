import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { codecThread } from "../../util/build-facts.ts";
import { ownedBy } from "../../util/free-memory.ts";
import { CODEC_TASKS, type CodecInput, type CodecResult, type CodecTask } from "./codec-tasks.ts";
import type { CodecAnswer, CodecMessage } from "./codec-worker.ts";

/** As many blobs as are in memory at once anyway. */
const MOST_THREADS = 4;

/** Less is done here sooner than another thread has it. */
const LEAST_BYTES = 512 * 1024;

/** So much is done here before threads are started: each costs some 30 ms of a processor. */
const BYTES_BEFORE_THREADS = 8 << 20;

/** Milliseconds after which threads that have nothing to do end, and give back their memory. */
const IDLE_MS = 1000;

interface Job extends CodecMessage {
  readonly resolve: (result: CodecResult<CodecTask>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Hashes, encodes and decodes blobs beside the main thread, which meanwhile reads, writes and talks to stores. Memory goes from
 * thread to thread, and is copied by none. Threads are there while there is work for them; a process that has nothing else to do
 * does not wait for them.
 */
class CodecThreads {
  readonly #most: number;
  readonly #threads = new Set<Thread>();
  readonly #idle: Thread[] = [];
  readonly #waiting: Job[] = [];
  #bytesBefore = 0;
  #ending: NodeJS.Timeout | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Does a task. Its bytes must be the caller's alone: they are empty from now on, and their memory is another's, or gone.
   *
   * @throws what the task throws
   */
  async run<K extends CodecTask>(name: K, input: CodecInput<K>): Promise<CodecResult<K>> {
    if (input.bytes.length < LEAST_BYTES || this.#isSoonDone(input.bytes.length)) return here(name, input);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ name, input, resolve: resolve as Job["resolve"], reject });
      this.#next();
    });
  }

  #isSoonDone(bytes: number): boolean {
    if (this.#threads.size > 0) return false;
    this.#bytesBefore += bytes;
    if (this.#bytesBefore > BYTES_BEFORE_THREADS) return false;
    this.#endLater();
    return true;
  }

  #next(): void {
    clearTimeout(this.#ending);
    for (let job = this.#waiting[0]; job; job = this.#waiting[0]) {
      const thread = this.#idle.pop() ?? this.#start();
      if (!thread) return;
      this.#waiting.shift();
      void this.#give(thread, job);
    }
  }

  #start(): Thread | undefined {
    if (this.#threads.size === this.#most) return undefined;
    const thread = new Thread();
    this.#threads.add(thread);
    return thread;
  }

  async #give(thread: Thread, job: Job): Promise<void> {
    try {
      const answer = await thread.run(job).finally(() => this.#free(thread));
      if (answer.ok) job.resolve(answer.result as CodecResult<CodecTask>);
      else job.resolve(await here(job.name, { ...job.input, bytes: answer.bytes } as CodecInput<CodecTask>));
    } catch (error) {
      job.reject(error);
    }
  }

  #free(thread: Thread): void {
    if (thread.isGone) this.#threads.delete(thread);
    else this.#idle.push(thread);
    this.#next();
    if (this.#idle.length === this.#threads.size) this.#endLater();
  }

  #endLater(): void {
    clearTimeout(this.#ending);
    this.#ending = setTimeout(() => {
      this.#bytesBefore = 0;
      for (const thread of this.#idle.splice(0)) {
        this.#threads.delete(thread);
        thread.end();
      }
    }, IDLE_MS).unref();
  }
}

async function here<K extends CodecTask>(name: K, input: CodecInput<K>): Promise<CodecResult<K>> {
  const task = CODEC_TASKS[name] as (input: CodecInput<K>) => CodecResult<K> | Promise<CodecResult<K>>;
  return task(input);
}

class Thread {
  readonly #worker =
    "file" in codecThread ? new Worker(codecThread.file) : new Worker(codecThread.code, { eval: true });
  isGone = false;

  async run({ name, input }: CodecMessage): Promise<CodecAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<CodecAnswer>();
    const fail = (error: unknown) => {
      this.isGone = true;
      reject(error);
    };
    const onExit = (code: number) => fail(new Error(`A thread of blobs ended with code ${code}.`));
    this.#worker.ref();
    this.#worker.once("error", fail).once("exit", onExit);
    this.#worker.once("message", resolve);
    try {
      this.#worker.postMessage({ name, input }, ownedBy(input.bytes));
      return await promise;
    } finally {
      this.#worker.off("error", fail).off("exit", onExit).off("message", resolve);
      this.#worker.unref();
    }
  }

  end(): void {
    void this.#worker.terminate();
  }
}

/** Of the whole process, whose processors they share. */
export const codecThreads = new CodecThreads(Math.min(availableParallelism(), MOST_THREADS));
