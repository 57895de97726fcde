import { randomUUID } from "node:crypto";
import { CorruptError } from "../../errors.ts";
import type { RunningProgram } from "../programs/run-program.ts";
import { postgresFailure } from "./postgres-failure.ts";

const ARGUMENTS = [
  "--no-psqlrc",
  "--quiet",
  "--no-align",
  "--tuples-only",
  "--no-password",
  "--set=ON_ERROR_STOP=1",
];

/** Nothing ends it but its end: a transaction in it lasts as long as the dump that reads by its snapshot. */
const PATIENT = `SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8'; SET row_security = off; SET search_path = pg_catalog;`;

/** A session with a server, held by psql. */
export class PsqlSession implements AsyncDisposable {
  readonly #program: RunningProgram;
  readonly #uri: string;
  readonly #lines: AsyncIterator<string>;

  private constructor(program: RunningProgram, uri: string) {
    this.#program = program;
    this.#uri = uri;
    this.#lines = linesOf(program.read());
  }

  static async start(run: (args: readonly string[]) => RunningProgram, uri: string): Promise<PsqlSession> {
    const session = new PsqlSession(run(ARGUMENTS), uri);
    try {
      await session.lines(PATIENT);
      return session;
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs statements, each ended by a semicolon. @throws IoError and others, by what the server says; the session has ended then. */
  async lines(sql: string): Promise<readonly string[]> {
    const end = randomUUID();
    await this.#program.write(`${sql}\n\\echo ${end}\n`);
    const lines: string[] = [];
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw await this.#failure();
      if (value === end) return lines;
      lines.push(value);
    }
  }

  /** The same for statements that answer with JSON, a line each. */
  async rows<T>(sql: string): Promise<readonly T[]> {
    return (await this.lines(sql)).map((line) => this.#parse<T>(line));
  }

  #parse<T>(line: string): T {
    try {
      return JSON.parse(line) as T;
    } catch (cause) {
      throw new CorruptError(`The server of ${this.#uri} gave an unexpected answer.`, {
        cause,
      });
    }
  }

  async #failure(): Promise<Error> {
    await this.#program.ended();
    return postgresFailure(`A query to ${this.#uri} failed`, this.#program.said);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}

/** At line feeds alone: names may hold what else ends lines elsewhere. */
async function* linesOf(content: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let rest = "";
  for await (const piece of content) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** A name in SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text in SQL, whatever the server's settings. */
export function quoteText(text: string): string {
  return text.includes("\\")
    ? ` E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`;
}
