import { accessSync, constants, statSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import type { Capture, CaptureRequest, Source } from "../../engine/source-contract.ts";
import { ValidationError } from "../../errors.ts";
import { isError, toIoError } from "../../fs/io.ts";
import { identityOf } from "../source-identity.ts";
import { Program, type ProgramOptions } from "./command-program.ts";

export interface CommandOptions extends Omit<ProgramOptions, "signal"> {
  readonly sourceId?: string | undefined;
}

/** The one entry. */
export const STDOUT = "stdout";

/** What a program writes to its standard output. It is started when it is captured; how it ends decides whether there is a snapshot. */
export class CommandSource implements Source {
  readonly type = "command";
  /** The program's name alone: arguments may be secret. */
  readonly uri: string;
  readonly id: string;
  readonly #options: CommandOptions;

  constructor(options: CommandOptions) {
    const { argv, sourceId } = options;
    this.uri = `command:${basename(argv[0] ?? "")}`;
    this.id = sourceId ?? identityOf("command", argv);
    this.#options = options;
  }

  /** Finds the program, and does not start it. @throws ValidationError where there is none. */
  async check(): Promise<string> {
    const [name = ""] = this.#options.argv;
    const { PATH = "" } = { ...process.env, ...this.#options.env };
    const places = name.includes("/")
      ? [name]
      : PATH.split(delimiter).map((directory) => join(directory, name));
    // Windows has rules of its own for names.
    const found = process.platform === "win32" ? name : places.find(isProgram);
    if (found === undefined) throw new ValidationError(`There is no program ${name} that may be run.`);
    return `${this.uri}: ${found}`;
  }

  /** @throws ValidationError where there is no such program. */
  async capture({ signal }: CaptureRequest): Promise<Capture> {
    const program = await Program.start({ ...this.#options, signal }, "ignore");
    let bytes = 0;
    async function* open(): AsyncGenerator<Uint8Array> {
      try {
        for await (const stretch of program.output as AsyncIterable<Buffer>) {
          bytes += stretch.length;
          yield stretch;
        }
      } catch (error) {
        signal?.throwIfAborted();
        throw isError(error) ? toIoError(error, "read what is written by", program.name) : error;
      }
    }
    return {
      capturedAt: new Date(),
      async *entries() {
        yield { path: STDOUT, changesInPlace: true, open };
      },
      async finish() {
        await program.finish();
        return { about: { program: program.name, bytes }, details: {} };
      },
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
    };
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // it is not there, or not to be run
  }
}
