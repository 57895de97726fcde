import { CommanderError } from "commander";
import {
  BackupError,
  type BackupErrorCode,
  BackupNotFoundError,
  RestoreError,
  ValidationError,
} from "../errors.ts";
import { isError, isRefused, reasonOf, toIoError } from "../fs/io.ts";
import type { Hint } from "../hint.ts";
import { printable } from "../util/printable.ts";
import { inCommandWords } from "./command-words.ts";
import { damagedSnapshot } from "./damaged-document.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { Interrupted } from "./interrupt.ts";
import { Declined, UsageError } from "./usage-error.ts";

/** How a command ended that did not do what it was for. */
export interface Failure {
  readonly exitCode: ExitCode;
  /** A `BackupError`'s code, or one of these. */
  readonly code: BackupErrorCode | "USAGE" | "INTERRUPTED" | "DECLINED" | "UNEXPECTED";
  /** One line: what, where, what to do; of a file with policies one for each thing that is wrong. */
  readonly message: string;
  /** What it says to do, as data. */
  readonly hints?: readonly Hint[] | undefined;
}

/** @param state of things, said where the work was interrupted. */
export function failureOf(error: unknown, state: string): Failure {
  if (causesOf(error).some((cause) => cause instanceof Interrupted)) {
    // What went back in part says itself which tables did.
    const told = error instanceof RestoreError ? printable(inCommandWords(error)) : state;
    return { exitCode: EXIT.interrupted, code: "INTERRUPTED", message: `Interrupted. ${told}`.trimEnd() };
  }
  if (error instanceof Declined) return { exitCode: EXIT.failed, code: "DECLINED", message: error.message };
  if (error instanceof UsageError) return { exitCode: EXIT.usage, code: "USAGE", message: error.message };
  if (error instanceof CommanderError) {
    if (error.code === "commander.help")
      return { exitCode: EXIT.usage, code: "USAGE", message: "Which command?" };
    return { exitCode: EXIT.usage, code: "USAGE", message: printable(error.message.replace(/^error: /, "")) };
  }
  if (error instanceof BackupError) {
    const isWrongUse = error instanceof ValidationError || error instanceof BackupNotFoundError;
    const exitCode = isWrongUse ? EXIT.usage : EXIT.failed;
    // Of a file with policies everything that is wrong is told, a line each.
    const text = inCommandWords(error);
    const lines = error.name === "PolicyFileError" ? text.split("\n") : [text];
    const message = lines.map(printable).join("\n");
    return {
      exitCode,
      code: error.code,
      message: `${message}${adviceFor(error, message)}`,
      hints: error.hints,
    };
  }
  const message = reasonOf(error);
  const peer = /^Cannot find package '(@lancedb\/lancedb|apache-arrow)'/.exec(message)?.[1];
  if (peer !== undefined) {
    const advice =
      "Install it beside lancedb-backup: npm install @lancedb/lancedb apache-arrow. doctor tells which versions.";
    return { exitCode: EXIT.failed, code: "UNEXPECTED", message: `This needs ${peer}. ${advice}` };
  }
  const refused = refusedBySystem(error);
  if (refused !== undefined) return { exitCode: EXIT.failed, code: "IO", message: printable(refused) };
  return {
    exitCode: EXIT.failed,
    code: "UNEXPECTED",
    message: `${printable(message)} (Unexpected; --verbose shows where it comes from.)`,
  };
}

/** What leads on where the document of a snapshot is damaged. */
function adviceFor(error: BackupError, message: string): string {
  const id = damagedSnapshot(error);
  if (id === undefined || message.includes("lancedb-backup ")) return "";
  return ` Choose another snapshot by its id (see list). verify says what is damaged, and "lancedb-backup delete ${id}" removes this one.`;
}

/** What the file system refused, by the system's own words; undefined for every other error. */
function refusedBySystem(error: unknown): string | undefined {
  if (!isRefused(error)) return undefined;
  const { syscall = "use", path } = error as NodeJS.ErrnoException;
  return path === undefined ? undefined : toIoError(error, syscall, path).message;
}

/** The stack, and the causes below it, each with its own. */
export function traceOf(error: unknown): string {
  return causesOf(error)
    .map((cause) => (isError(cause) ? (cause.stack ?? String(cause)) : String(cause)))
    .join("\ncaused by: ");
}

/** An error and what caused it, down to the first. */
function causesOf(error: unknown): unknown[] {
  const causes: unknown[] = [];
  for (let current = error; current != null && !causes.includes(current); ) {
    causes.push(current);
    current = isError(current) ? current.cause : undefined;
  }
  return causes;
}
