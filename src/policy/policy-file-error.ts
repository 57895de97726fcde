import { ValidationError } from "../errors.ts";

/** One thing that is wrong in a configuration file. */
export interface PolicyProblem {
  /** From 1. */
  readonly line: number;
  /** Which value: `policies.database.retention.keep_daily`; empty for the file as a whole. */
  readonly key: string;
  /** What is wrong with it, and what is allowed. */
  readonly message: string;
}

const MOST_SHOWN = 50;

/** A configuration file cannot be used. It has all that is wrong in the file, by line. */
export class PolicyFileError extends ValidationError {
  readonly file: string;
  readonly problems: readonly PolicyProblem[];

  constructor(file: string, problems: readonly PolicyProblem[]) {
    const sorted = problems.toSorted((a, b) => a.line - b.line);
    const lines = sorted.slice(0, MOST_SHOWN).map(({ line, key, message }) => {
      return `${file}:${line}: ${key === "" ? "" : `${key}: `}${message}.`;
    });
    if (sorted.length > MOST_SHOWN) lines.push(`And ${sorted.length - MOST_SHOWN} more.`);
    super(lines.join("\n"));
    this.file = file;
    this.problems = sorted;
  }
}
