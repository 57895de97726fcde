import { type ChildProcess, fork, spawn } from "node:child_process";
import { IoError, UnsupportedError } from "../../errors.ts";
import { sqliteProgram } from "../../util/build-facts.ts";
import { fromFailure } from "./sqlite-failure.ts";
import type { Reply, SqliteTasks } from "./sqlite-worker.ts";

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** After so many milliseconds the process is ended. Default: never. */
  readonly limitMs?: number | undefined;
  /** What is done, for messages: "The copy of /app.db". */
  readonly what: string;
}

type Input<K extends keyof SqliteTasks> = Parameters<SqliteTasks[K]>[0];
type Result<K extends keyof SqliteTasks> = Awaited<ReturnType<SqliteTasks[K]>>;

/** A timer waits no longer: 24 days. */
const LONGEST_MS = 2 ** 31 - 1;

/** Of what the process said last, so many letters are told. */
const MOST_TOLD = 2000;

/**
 * A process that opens databases, for one task after the other. In this one it would not do: SQLite's calls cannot be
 * interrupted and hold up everything else; a damaged file may bring them down; and an application may have the same
 * database open by another library, whose locks would go with the first of our files that is closed.
 */
export class SqliteProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #stderr = "";

  constructor() {
    this.#child = start();
    this.#closed = new Promise((resolve) => {
      this.#child.once("close", () => resolve());
      this.#child.once("error", ({ message }) => {
        this.#stderr = message;
        if (this.#child.pid === undefined) resolve(); // it could not be started
      });
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MOST_TOLD);
    });
  }

  /** @throws what the task throws; the signal's reason; IoError after the time limit, or where the process ends. */
  async run<K extends keyof SqliteTasks>(
    task: K,
    input: Input<K>,
    { signal, limitMs, what }: RunOptions,
  ): Promise<Result<K>> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const onAbort = () => reject(signal?.reason);
    const onLimit = () => reject(tooLong(what, limitMs));
    const timer = limitMs === undefined ? undefined : setTimeout(onLimit, Math.min(limitMs, LONGEST_MS));
    this.#child.once("message", resolve);
    signal?.addEventListener("abort", onAbort);
    void this.#closed.then(() => reject(this.#ended()));
    this.#child.send({ task, input }, (error) => error && reject(this.#ended()));
    try {
      const reply = await promise;
      if (!reply.ok) throw fromFailure(reply.failure);
      return reply.result as Result<K>;
    } finally {
      clearTimeout(timer);
      this.#child.off("message", resolve);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  #ended(): Error {
    if (/node:sqlite|named 'backup'/.test(this.#stderr)) {
      return new UnsupportedError("SQLite databases need node:sqlite, which is in Node from 22.16 on.");
    }
    const { exitCode, signalCode } = this.#child;
    const how = signalCode ?? `status ${exitCode}`;
    return new IoError(`The process that opens SQLite databases ended (${how}): ${this.#stderr.trim()}`);
  }

  /** By a signal: what it was doing is not waited for, and nothing that it has open is closed in order. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}

// Some versions of Node announce node:sqlite as experimental: that is not for the user of a backup.
const NODE_OPTIONS = ["--disable-warning=ExperimentalWarning"];

/** The first message is the program. As an argument it would fill the list of processes. */
const BOOTSTRAP = `process.once("message", (code) => new Function("require", code)(require))`;

function start(): ChildProcess {
  const stdio = ["ignore", "ignore", "pipe", "ipc"] as const;
  if ("file" in sqliteProgram)
    return fork(sqliteProgram.file, [], { execArgv: NODE_OPTIONS, stdio: [...stdio] });
  const child = spawn(process.execPath, [...NODE_OPTIONS, "-e", BOOTSTRAP], {
    stdio: [...stdio],
    // Electron's program is Node only where it is told so, as fork() does.
    env: { ...process.env, ELECTRON_RUN_AS_NODE: "1" },
  });
  child.send(sqliteProgram.code, () => {
    // where the process could not be started or has ended, "error" and "close" tell it
  });
  return child;
}

function tooLong(what: string, limitMs = 0): IoError {
  return new IoError(
    `${what} did not finish within ${limitMs / 1000} seconds (ETIMEDOUT). If it is just large, give it more time with timeoutMs.`,
    { errno: "ETIMEDOUT" },
  );
}
