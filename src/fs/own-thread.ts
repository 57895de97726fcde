import { Worker } from "node:worker_threads";
import { IoError } from "../errors.ts";
import type { OwnProgram } from "../util/build-facts.ts";
import { reasonOf } from "./io.ts";

/** Megabytes: what these threads handle lies outside of V8's heap, and what is young there would get up to 48 in each. */
const resourceLimits = { maxYoungGenerationSizeMb: 3 };

/** A thread that runs a program of ours, which answers each message by one. A process that has nothing else to do does not wait for it. */
export class OwnThread<Message, Answer> implements AsyncDisposable {
  readonly #worker: Worker;
  /** For messages: "A thread that reads files". */
  readonly #what: string;
  #asked: PromiseWithResolvers<Answer> | undefined;
  #ended: IoError | undefined;

  /**
   * Undefined where the system has none to give: a container's limit of processes counts threads, too. The work can be done with
   * fewer then, or without any.
   */
  static start<Message, Answer>(program: OwnProgram, what: string): OwnThread<Message, Answer> | undefined {
    try {
      const worker =
        "file" in program
          ? new Worker(program.file, { resourceLimits })
          : new Worker(program.code, { eval: true, resourceLimits });
      return new OwnThread(worker, what);
    } catch {
      return undefined;
    }
  }

  private constructor(worker: Worker, what: string) {
    this.#worker = worker;
    this.#what = what;
    // From the beginning on: one may also end while nobody asks it anything.
    worker.on("message", (answer: Answer) => this.#take()?.resolve(answer));
    worker.on("error", (error) => this.#end(`by an error: ${reasonOf(error)}`, error));
    worker.on("exit", (code) => this.#end(`with code ${code}`));
    worker.unref();
  }

  /** Whether it has ended. */
  get isGone(): boolean {
    return this.#ended !== undefined;
  }

  /**
   * One thing at a time.
   *
   * @param transfer memory that goes to the thread, and is empty here from now on.
   * @throws IoError where the thread has ended, or ends before it answers.
   */
  ask(message: Message, transfer: readonly ArrayBuffer[] = []): Promise<Answer> {
    if (this.#ended) return Promise.reject(this.#ended);
    this.#asked = Promise.withResolvers();
    const { promise } = this.#asked;
    this.#worker.ref();
    try {
      this.#worker.postMessage(message, transfer);
    } catch (error) {
      this.#take()?.reject(error);
    }
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  #take(): PromiseWithResolvers<Answer> | undefined {
    const asked = this.#asked;
    this.#asked = undefined;
    this.#worker.unref();
    return asked;
  }

  #end(how: string, cause?: unknown): void {
    this.#ended ??= new IoError(`${this.#what} ended ${how}.`, { cause });
    this.#take()?.reject(this.#ended);
  }
}
