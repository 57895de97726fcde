import { availableParallelism } from "node:os";
import { OwnThread } from "../../fs/own-thread.ts";
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

type Thread = OwnThread<CodecMessage, CodecAnswer>;

interface Job extends CodecMessage {
  readonly resolve: (result: CodecResult<CodecTask> | Promise<CodecResult<CodecTask>>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Hashes, encodes and decodes blobs beside the main thread, which meanwhile reads, writes and talks to stores. Memory goes from
 * thread to thread, and is copied by none. Threads are there while there is work for them; a process that has nothing else to do
 * does not wait for them. Where the system has fewer to give, those do the work; where it has none, it is done here.
 */
class CodecThreads {
  readonly #wanted: number;
  /** As many as there can be, as far as is known. */
  #most: number;
  readonly #threads = new Set<Thread>();
  readonly #idle: Thread[] = [];
  readonly #waiting: Job[] = [];
  #bytesBefore = 0;
  #ending: NodeJS.Timeout | undefined;

  constructor(wanted: number) {
    this.#wanted = wanted;
    this.#most = wanted;
  }

  /**
   * Does a task. Its bytes must be the caller's alone: they are empty from now on, and their memory is another's, or gone.
   *
   * @throws what the task throws. @throws IoError where a thread ended in the middle of it.
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
      const thread = this.#takeIdle() ?? this.#start();
      if (!thread && this.#threads.size > 0) return; // one of them takes it when it is free
      this.#waiting.shift();
      if (thread) void this.#give(thread, job);
      else job.resolve(here(job.name, job.input as CodecInput<CodecTask>));
    }
    if (this.#idle.length === this.#threads.size) this.#endLater();
  }

  /** One may have ended while it had nothing to do. */
  #takeIdle(): Thread | undefined {
    for (let thread = this.#idle.pop(); thread; thread = this.#idle.pop()) {
      if (!thread.isGone) return thread;
      this.#threads.delete(thread);
    }
    return undefined;
  }

  #start(): Thread | undefined {
    if (this.#threads.size >= this.#most) return undefined;
    const thread: Thread | undefined = OwnThread.start(
      codecThread,
      "A thread that encodes and decodes blobs",
    );
    if (thread) this.#threads.add(thread);
    else this.#most = this.#threads.size; // not asked for with each task
    return thread;
  }

  async #give(thread: Thread, job: Job): Promise<void> {
    try {
      const { name, input } = job;
      const answer = await thread
        .ask({ name, input }, ownedBy(input.bytes))
        .finally(() => this.#free(thread));
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
  }

  #endLater(): void {
    clearTimeout(this.#ending);
    this.#ending = setTimeout(() => {
      this.#bytesBefore = 0;
      this.#most = this.#wanted;
      for (const thread of this.#idle.splice(0)) {
        this.#threads.delete(thread);
        void thread[Symbol.asyncDispose]();
      }
    }, IDLE_MS).unref();
  }
}

async function here<K extends CodecTask>(name: K, input: CodecInput<K>): Promise<CodecResult<K>> {
  const task = CODEC_TASKS[name] as (input: CodecInput<K>) => CodecResult<K> | Promise<CodecResult<K>>;
  return task(input);
}

/** Of the whole process, whose processors they share. */
export const codecThreads = new CodecThreads(Math.min(availableParallelism(), MOST_THREADS));
