import { join } from "node:path";
import { makeTemporaryScratch, type Scratch } from "../../engine/scratch.ts";
import { CorruptError, UnsupportedError } from "../../errors.ts";
import { type FoundProgram, findPrograms } from "../programs/find-programs.ts";
import {
  answerOf,
  foreignEnvironment,
  inWords,
  type ProgramToRun,
  RunningProgram,
} from "../programs/run-program.ts";
import { writeSecret } from "../programs/server-database.ts";
import type { MysqlAddress } from "./mysql-address.ts";
import { mysqlFailure } from "./mysql-failure.ts";

export interface MysqlClientOptions {
  /** Where the programs are. Default: PATH. */
  readonly binDir?: string | undefined;
  /** Besides this process's own environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Whose programs, and whose servers: their options differ. */
export type Flavor = "mariadb" | "mysql";

const NAMES = {
  dump: ["mariadb-dump", "mysqldump"],
  client: ["mariadb", "mysql"],
} as const;

/**
 * The programs of MySQL or MariaDB for one address. User and password stand in a file that only this user reads, and that is gone when the
 * client is disposed of.
 */
export class MysqlClient implements AsyncDisposable {
  readonly address: MysqlAddress;
  readonly options: MysqlClientOptions;
  readonly #scratch: Scratch;
  readonly #env: NodeJS.ProcessEnv;
  readonly #files = new Map<Flavor, string>();

  private constructor(address: MysqlAddress, options: MysqlClientOptions, scratch: Scratch) {
    this.address = address;
    this.options = options;
    this.#scratch = scratch;
    const { MYSQL_PWD: _password, ...env } = foreignEnvironment({ ...process.env, ...options.env });
    this.#env = { ...env, LC_ALL: "C" };
  }

  static async open(address: MysqlAddress, options: MysqlClientOptions = {}): Promise<MysqlClient> {
    return new MysqlClient(address, options, await makeTemporaryScratch());
  }

  /** A directory that goes with the client. */
  get directory(): string {
    return this.#scratch.directory;
  }

  /** Of the server's own kind where there is one. @throws UnsupportedError where there is none. */
  async program(what: keyof typeof NAMES, server?: Flavor): Promise<FoundProgram> {
    const found = await findPrograms(NAMES[what], { only: this.options.binDir }, this.#env);
    const program = found.find((one) => flavorOf(one) === server) ?? found[0];
    if (program) return program;
    const where = this.options.binDir === undefined ? "here" : `in ${this.options.binDir}`;
    throw new UnsupportedError(
      `There is neither ${NAMES[what].join(" nor ")} ${where}: install the client programs (Debian: mariadb-client or default-mysql-client).`,
    );
  }

  run(program: FoundProgram, args: readonly string[]): RunningProgram {
    return new RunningProgram(this.#toRun(program, args));
  }

  /** Runs statements, and answers with the JSON of each line. @throws IoError and others, by what the server says. */
  async rows<T>(sql: string, { database }: { readonly database?: string } = {}): Promise<readonly T[]> {
    const program = await this.program("client");
    const args = ["--batch", "--raw", "--skip-column-names", "--default-character-set=utf8mb4"];
    if (database !== undefined) args.push(`--database=${database}`);
    const { ending, output, said } = await answerOf(this.#toRun(program, args), `${sql}\n`);
    if (ending.code !== 0) {
      throw mysqlFailure(`A query to ${this.address.uri} failed, ${inWords(ending)}`, said);
    }
    const lines = output.split("\n").filter((line) => line !== "");
    try {
      return lines.map((line) => JSON.parse(line) as T);
    } catch (cause) {
      throw new CorruptError(`The server of ${this.address.uri} gave an unexpected answer.`, {
        cause,
      });
    }
  }

  #toRun(program: FoundProgram, args: readonly string[]): ProgramToRun {
    const { password } = this.address;
    return {
      path: program.path,
      // It must be the first. With a password nothing else is read: what another file says would come after it.
      args: [
        `--defaults-${password === undefined ? "extra-" : ""}file=${this.#optionFile(flavorOf(program))}`,
        ...args,
      ],
      env: this.#env,
      secrets: password === undefined ? [] : [password],
      signal: this.options.signal,
    };
  }

  #optionFile(flavor: Flavor): string {
    const known = this.#files.get(flavor);
    if (known !== undefined) return known;
    const file = join(this.#scratch.directory, `${flavor}.cnf`);
    writeSecret(file, optionFile(this.address, flavor));
    this.#files.set(flavor, file);
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scratch.remove();
  }
}

export function flavorOf({ version }: Pick<FoundProgram, "version">): Flavor {
  return version.includes("MariaDB") ? "mariadb" : "mysql";
}

/** @internal What a program is told of an address. */
export function optionFile(address: MysqlAddress, flavor: Flavor): string {
  const { user, password, host, port, socket, ssl, connectTimeout } = address;
  const options: [string, string | undefined][] = [
    ["user", user],
    ["password", password],
    ...(host === undefined
      ? ([["socket", socket]] as [string, string | undefined][])
      : ([
          ["host", host],
          ["port", String(port)],
          ["protocol", "tcp"],
        ] as [string, string][])),
    ...Object.entries(ssl),
  ];
  const lines = options.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${quoted(value)}`]));
  const timeout = `[${flavor === "mariadb" ? "mariadb" : "mysql"}]\nconnect-timeout=${connectTimeout}`;
  return `[client]\n${[...lines, ...sslLines(address, flavor)].join("\n")}\n${timeout}\n`;
}

/**
 * MariaDB's programs know no `ssl-mode`, and their `ssl` is given up where the server, or whoever is between, has none:
 * only one that checks the certificate insists.
 */
function sslLines({ sslMode }: MysqlAddress, flavor: Flavor): string[] {
  if (sslMode === undefined) return [];
  if (flavor === "mysql") return [`ssl-mode=${sslMode}`];
  if (sslMode === "DISABLED") return ["skip-ssl"];
  return sslMode === "PREFERRED" ? ["ssl"] : ["ssl", "ssl-verify-server-cert"];
}

function quoted(value: string): string {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** A name in SQL. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}
