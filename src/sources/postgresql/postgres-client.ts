import { join } from "node:path";
import { makeTemporaryScratch, type Scratch } from "../../engine/scratch.ts";
import type { FoundProgram } from "../programs/find-programs.ts";
import { foreignEnvironment, RunningProgram } from "../programs/run-program.ts";
import { writeSecret } from "../programs/server-database.ts";
import type { PostgresAddress } from "./postgres-address.ts";
import { type ProgramName, programFor } from "./postgres-versions.ts";
import { PsqlSession } from "./psql-session.ts";

export interface ClientOptions {
  /** Where PostgreSQL's programs are. Default: of the server's own version in the usual places, then PATH. */
  readonly binDir?: string | undefined;
  /** Besides this process's own environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * PostgreSQL's programs for one address. The password stands in a file that only this user reads, and that is gone when the client is disposed
 * of; never in an argument or in the environment, which others may see.
 */
export class PostgresClient implements AsyncDisposable {
  readonly address: PostgresAddress;
  readonly options: ClientOptions;
  readonly #scratch: Scratch;
  readonly #env: NodeJS.ProcessEnv;
  readonly #programs = new Map<string, Promise<FoundProgram>>();

  private constructor(address: PostgresAddress, options: ClientOptions, scratch: Scratch) {
    this.address = address;
    this.options = options;
    this.#scratch = scratch;
    this.#env = environmentOf(address, options, scratch.directory);
  }

  static async open(address: PostgresAddress, options: ClientOptions = {}): Promise<PostgresClient> {
    const scratch = await makeTemporaryScratch();
    try {
      return new PostgresClient(address, options, scratch);
    } catch (error) {
      await scratch.remove();
      throw error;
    }
  }

  /** A directory that goes with the client. */
  get directory(): string {
    return this.#scratch.directory;
  }

  /** @throws UnsupportedError as `programFor` */
  program(name: ProgramName, major: number | undefined, what?: string): Promise<FoundProgram> {
    const key = `${name} ${major}`;
    const found = this.#programs.get(key) ?? programFor(name, major, this.options.binDir, this.#env, what);
    this.#programs.set(key, found);
    return found;
  }

  /** @param database Default: the address's. */
  run(path: string, args: readonly string[], { database = this.address.database } = {}): RunningProgram {
    const { password } = this.address;
    return new RunningProgram({
      path,
      args,
      // libpq takes a database's name in an argument for more than a name; in this variable it does not.
      env: { ...this.#env, PGDATABASE: database },
      secrets: password === undefined ? [] : [password],
      signal: this.options.signal,
    });
  }

  /** A session with the server. @throws IoError, ValidationError where the server does not let it in. */
  async session({ database = this.address.database } = {}): Promise<PsqlSession> {
    const { path } = await this.program("psql", undefined);
    return PsqlSession.start((args) => this.run(path, args, { database }), this.address.uri);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scratch.remove();
  }
}

function environmentOf(
  { env: own, password }: PostgresAddress,
  { env = {} }: ClientOptions,
  directory: string,
): NodeJS.ProcessEnv {
  const foreign = Object.entries(foreignEnvironment({ ...process.env, ...env })).filter(
    ([name]) => !name.startsWith("PG"),
  );
  const all: NodeJS.ProcessEnv = { ...Object.fromEntries(foreign), ...own, LC_ALL: "C", PSQLRC: "/dev/null" };
  if (password !== undefined) all["PGPASSFILE"] = writePassfile(directory, password);
  return all;
}

/** For whatever server and user: one connection's programs alone read it. */
function writePassfile(directory: string, password: string): string {
  const file = join(directory, "passfile");
  writeSecret(file, `*:*:*:*:${password.replace(/[\\:]/g, "\\$&")}\n`);
  return file;
}
