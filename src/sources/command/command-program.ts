import { type ChildProcess, spawn } from "node:child_process";
import { basename } from "node:path";
import { PassThrough, pipeline } from "node:stream";
import { IoError, ValidationError } from "../../errors.ts";
import { isNoProcess, isVanished, toIoError } from "../../fs/io.ts";
import { withoutPassword } from "../../util/without-password.ts";
import { endWithProcess, foreignEnvironment } from "../programs/run-program.ts";

/** Of what a program says on stderr so much is kept, the last of it. */
const TAIL_BYTES = 4096;
/** So much of its output may wait for a reader. */
const OUTPUT_BYTES = 1 << 20;
/** Between being asked to end and being made to. */
const GRACE_MS = 5000;
/** A shorter one is in many a word. */
const SHORTEST_SECRET = 4;
const SECRET = /pass|pwd|secret|token|key|credential/i;

export interface ProgramOptions {
  /** The program and its arguments. No shell is asked. */
  readonly argv: readonly string[];
  /** Besides this process's own, of which it has all but what is this package's. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A program that runs, in a process group of its own. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  /** What it writes, where it has no input. */
  readonly output = new PassThrough({ highWaterMark: OUTPUT_BYTES });
  readonly #options: ProgramOptions;
  readonly #env: NodeJS.ProcessEnv;
  readonly #ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #abort = () => this.stop();
  /** One that does not end when it is asked to must not outlive a process that leaves at once. */
  readonly #hasEnded: () => void;
  #stderr = Buffer.alloc(0);
  #isLate = false;

  private constructor(options: ProgramOptions, stdin: "ignore" | "pipe") {
    const [program = "", ...args] = options.argv;
    this.#options = options;
    this.#env = { ...foreignEnvironment(process.env), ...options.env };
    const stdout = stdin === "pipe" ? "ignore" : "pipe";
    this.child = spawn(program, args, { env: this.#env, detached: true, stdio: [stdin, stdout, "pipe"] });
    // From the beginning: what nobody reads of an output, Node throws away when the program has ended.
    if (this.child.stdout) pipeline(this.child.stdout, this.output, () => undefined);
    this.#ended = new Promise((resolve) => {
      this.child.on("close", (code, signal) => resolve({ code, signal }));
    });
    this.child.stderr?.on("data", (bytes: Buffer) => {
      this.#stderr = Buffer.concat([this.#stderr, bytes]).subarray(-TAIL_BYTES);
    });
    this.#hasEnded = endWithProcess(() => this.#kill("SIGKILL"));
    const { timeoutMs, signal } = options;
    if (timeoutMs !== undefined) {
      const late = () => {
        this.#isLate = true;
        this.stop();
      };
      this.#timers.push(setTimeout(late, Math.min(timeoutMs, 2 ** 31 - 1))); // a longer one would end at once
    }
    signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** @throws ValidationError where there is no such program. @throws IoError where it cannot be started. */
  static async start(options: ProgramOptions, stdin: "ignore" | "pipe"): Promise<Program> {
    options.signal?.throwIfAborted();
    const program = new Program(options, stdin);
    const [name = ""] = options.argv;
    try {
      await new Promise<void>((resolve, reject) =>
        program.child.once("spawn", resolve).once("error", reject),
      );
    } catch (error) {
      await program[Symbol.asyncDispose]();
      if (!isVanished(error)) throw toIoError(error, "start", name);
      throw new ValidationError(`There is no program ${name}: give its path, or install it.`, {
        cause: error,
      });
    }
    program.child.on("error", () => undefined); // what it means, `close` tells
    return program;
  }

  /** Waits until it has ended well. @throws IoError with the end of what it said; the signal's reason. */
  async finish(): Promise<void> {
    const { code, signal } = await this.#ended;
    this.#release();
    this.#options.signal?.throwIfAborted();
    if (code === 0) return;
    const { timeoutMs = 0 } = this.#options;
    const how = this.#isLate
      ? `was stopped after its time limit of ${timeoutMs / 1000} s`
      : signal === null
        ? `ended with status ${code}`
        : `was ended by ${signal}`;
    const said = this.#said();
    throw new IoError(`${this.name} ${how}.${said === "" ? "" : ` It said: ${said}`}`);
  }

  get name(): string {
    return basename(this.#options.argv[0] ?? "");
  }

  /** Ends it and what it has started. */
  stop(): void {
    this.#kill("SIGTERM");
    this.#timers.push(setTimeout(() => this.#kill("SIGKILL"), GRACE_MS).unref());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid, exitCode, signalCode } = this.child;
    if (pid !== undefined && exitCode === null && signalCode === null) {
      this.output.destroy();
      this.stop();
      await this.#ended;
    }
    this.#release();
  }

  #release(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#hasEnded();
    this.#options.signal?.removeEventListener("abort", this.#abort);
  }

  #kill(signal: NodeJS.Signals): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if (!isNoProcess(error)) throw error; // ended already
    }
  }

  /** Without what is secret in its environment, and in addresses. */
  #said(): string {
    let text = this.#stderr.toString().trim();
    for (const [name, value = ""] of Object.entries(this.#env)) {
      if (SECRET.test(name) && value.length >= SHORTEST_SECRET) text = text.replaceAll(value, "***");
    }
    return text.replace(/[a-z][a-z0-9+.-]+:\/\/\S+/gi, withoutPassword);
  }
}
