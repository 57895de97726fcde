import type { Logger } from "../logger.ts";
import type { AuditMode } from "../repository/index.ts";
import type { ExitCode } from "./exit-codes.ts";
import type { Interrupt } from "./interrupt.ts";
import type { Screen } from "./output/screen.ts";
import type { Terminal } from "./output/terminal.ts";

/** Options that every command has. */
export interface GlobalOptions extends KeyOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly readOnly?: boolean;
  readonly audit?: AuditMode;
  /** False with `--no-color`. */
  readonly color: boolean;
}

/** What a command works with, besides its own arguments and options. */
export interface Context {
  readonly options: GlobalOptions;
  /** How standard output looks; what is printed there is the command's answer. */
  readonly terminal: Terminal;
  /** Standard error: questions, progress and warnings. */
  readonly screen: Screen;
  readonly logger: Logger;
  readonly interrupt: Interrupt;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
}

/** What a command answers: one value for programs, and the same for people. */
export interface Answer {
  /** Printed by `--json`. */
  readonly json: unknown;
  /** Printed without; empty: nothing. */
  readonly text: string;
  /** What was changed, in a sentence; said where the answer itself is lost. */
  readonly done?: string;
  /** Default 0. */
  readonly exitCode?: ExitCode;
}

/** By what encrypted repositories are opened; every command has these. A secret itself is never an argument. */
export interface KeyOptions {
  readonly passwordFile?: readonly string[];
  readonly passwordCommand?: string;
  readonly ageIdentity?: readonly string[];
  readonly recoveryKeyFile?: string;
  readonly kmsKey?: readonly string[];
}
