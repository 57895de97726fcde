import { type ChildProcessByStdio, spawn } from "node:child_process";
import { PassThrough, pipeline, type Readable, type Writable } from "node:stream";
import { UnsupportedError } from "../../errors.ts";
import { isError, isVanished, toIoError } from "../../fs/io.ts";

export interface ProgramToRun {
  /** Absolute, or a name in PATH. */
  readonly path: string;
  readonly args: readonly string[];
  /** All of its environment. */
  readonly env: NodeJS.ProcessEnv;
  /** What must not be told: it is taken out of what the program says. */
  readonly secrets?: readonly string[] | undefined;
  /** The directory that it works in. Default: this process's own. */
  readonly cwd?: string | undefined;
  /** Ends the program. */
  readonly signal?: AbortSignal | undefined;
}

/** How a program has ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** As much of what a program says on its standard error is kept, of the beginning and of the end. */
const KEPT_CHARACTERS = 8192;
/** So much of what it writes may wait for a reader. */
const OUTPUT_BYTES = 1 << 20;

/** A program at work: what it reads, what it writes, and how it ends. */
export class RunningProgram implements AsyncDisposable {
  readonly path: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #output = new PassThrough({ highWaterMark: OUTPUT_BYTES });
  readonly #secrets: readonly string[];
  readonly #signal: AbortSignal | undefined;
  readonly #ended: Promise<Ending>;
  readonly #onAbort = () => this.kill();
  #first = "";
  #last = "";
  #failure: unknown;

  constructor({ path, args, env, secrets = [], cwd, signal }: ProgramToRun) {
    signal?.throwIfAborted();
    this.path = path;
    this.#secrets = secrets.filter((secret) => secret !== "");
    this.#signal = signal;
    this.#child = spawn(path, [...args], { env, cwd, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => this.#hear(text));
    // From the beginning: what nobody reads of an output, Node throws away when the program has ended.
    pipeline(this.#child.stdout, this.#output, () => undefined);
    // A program that has ended reads nothing more; its exit status says why.
    this.#child.stdin.on("error", () => this.#child.stdin.destroy());
    this.#child.on("error", (error) => {
      this.#failure = error;
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once("close", (code, by) => resolve({ code, signal: by }));
    });
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    const hasEnded = endWithProcess(this.#onAbort);
    void this.#ended.then(() => {
      hasEnded();
      signal?.removeEventListener("abort", this.#onAbort);
    });
  }

  #hear(text: string): void {
    const room = KEPT_CHARACTERS - this.#first.length;
    this.#first += text.slice(0, room);
    this.#last = `${this.#last}${text.slice(room)}`.slice(-KEPT_CHARACTERS);
  }

  /** What it has said on its standard error. */
  get said(): string {
    const said = this.#secrets.reduce(
      (text, secret) => text.replaceAll(secret, "…"),
      this.#first + this.#last,
    );
    return said.trim();
  }

  get output(): Readable {
    return this.#output;
  }

  /** Resolves when the program can take more: false where it reads no more, and its ending says why. */
  async write(bytes: Uint8Array | string): Promise<boolean> {
    const { stdin } = this.#child;
    if (stdin.destroyed) return false;
    if (stdin.write(bytes)) return true;
    await new Promise<void>((resolve) => {
      const done = () => {
        stdin.off("drain", done).off("close", done);
        resolve();
      };
      stdin.on("drain", done).on("close", done);
    });
    return !stdin.destroyed;
  }

  endInput(): void {
    this.#child.stdin.end();
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /**
   * Its end, when all that it wrote was read. Does not judge it.
   *
   * @throws UnsupportedError where there is no such program, IoError where it cannot be started; the signal's reason.
   */
  async ended(): Promise<Ending> {
    const ending = await this.#ended;
    this.#signal?.throwIfAborted();
    if (this.#failure === undefined) return ending;
    if (isVanished(this.#failure)) {
      throw new UnsupportedError(`There is no program ${this.path}.`, { cause: this.#failure });
    }
    throw toIoError(this.#failure, "start", this.path);
  }

  /** All that it writes; the rest is not wanted where the reader stops. */
  async *read(): AsyncGenerator<Buffer> {
    try {
      for await (const piece of this.#output) yield piece as Buffer;
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw isError(error) ? toIoError(error, "read from", this.path) : error;
    }
  }

  /** Ends it where it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#output.destroy();
    this.kill();
    await this.#ended;
  }
}

/** What a program may have of the environment: addresses that this package is told by variables hold passwords. */
export function foreignEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith("LANCEDB_BACKUP_")),
  );
}

/** Runs a program to its end, and answers with all that it wrote: for short answers. */
export async function answerOf(
  program: ProgramToRun,
  input = "",
): Promise<{ readonly ending: Ending; readonly output: string; readonly said: string }> {
  await using running = new RunningProgram(program);
  if (input !== "") await running.write(input);
  running.endInput();
  const pieces: Buffer[] = [];
  for await (const piece of running.read()) pieces.push(piece);
  const ending = await running.ended();
  return { ending, output: Buffer.concat(pieces).toString("utf8"), said: running.said };
}

/** What an ending is, in words. */
export function inWords({ code, signal }: Ending): string {
  return signal ? `was ended by ${signal}` : `ended with status ${code}`;
}

const endings = new Set<() => void>();

function endAll(): void {
  for (const end of endings) {
    try {
      end();
    } catch {
      // The others are to be ended all the same, and nobody is left to be told.
    }
  }
}

/** Ends a program where this process leaves at once. Answers with what is to be called when it has ended. */
export function endWithProcess(end: () => void): () => void {
  if (endings.size === 0) process.on("exit", endAll);
  endings.add(end);
  return () => {
    if (endings.delete(end) && endings.size === 0) process.off("exit", endAll);
  };
}
