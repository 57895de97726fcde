import { createHash } from "node:crypto";
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  openSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { CorruptError } from "../../errors.ts";
import { isMissing, toIoError } from "../../fs/io.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import type { CommitKind, CommitMark } from "../../lance/commit-kind.ts";

/** What the guarded work is about to do, written before LanceDB hears of it. */
export type Intent =
  | {
      readonly step: "commit";
      readonly table: string;
      /** What the commits on disk will say they are. */
      readonly kinds: readonly CommitKind[];
      /** The newest version on disk before; commits of this intent are above it. */
      readonly above: number;
      /** Whether it makes one commit or possibly several. */
      readonly several: boolean;
      /** What else the commit will be known by, where that can be told before. */
      readonly mark?: CommitMark | undefined;
      /** One commit of these kinds up to this version, whichever: another write has reported this one's as its own. */
      readonly upTo?: number | undefined;
    }
  | {
      readonly step: "create";
      readonly table: string;
      /** Directories that this table's id could mean and that were there before. */
      readonly existing: readonly string[];
    }
  | {
      readonly step: "drop";
      readonly table: string;
      readonly directory: string;
      /** Where the table is moved to, below `aside/`. */
      readonly aside: string;
    }
  | {
      /** What has the table's name and is no table is moved out of the way. */
      readonly step: "stub";
      readonly table: string;
      readonly directory: string;
      /** Where it goes, below `aside/`. */
      readonly aside: string;
    }
  | {
      readonly step: "namespace";
      /** The name of its lock. */
      readonly table: string;
      /** Its path, joined by `$`. */
      readonly namespace: string;
    }
  | { readonly step: "tag"; readonly table: string; readonly tag: string };

/** What came of an intent. */
export interface Outcome {
  /** The versions that it committed; none where it failed. */
  readonly versions: readonly number[];
  /** SHA-256 of each one's manifest, empty where it had gone: numbers come again when a table is made anew. */
  readonly digests?: readonly string[] | undefined;
  /** For `create`: where the table lies. */
  readonly directory?: string | undefined;
  readonly failed?: boolean | undefined;
}

export interface LoggedIntent {
  readonly intent: Intent;
  /** Undefined where the process died in between. */
  outcome?: Outcome | undefined;
}

type Line = { n: number; intent: Intent } | { n: number; outcome: Outcome };

/** How often a process with an open intent gives a sign of life. */
const SIGN_MS = 100;

/**
 * The log of one guarded operation, a line a step: `<16 hex of SHA-256> <json>`. An intent is on the disk
 * before the write that it announces; outcomes need not be, since an intent left open explains its commits.
 */
export class IntentLog {
  readonly #path: string;
  readonly #entries = new Map<number, LoggedIntent>();
  #next = 1;
  #file: number | undefined;
  #torn: Error | undefined;
  /** Intents whose outcome was not reported yet. */
  #open = 0;
  #pulse: NodeJS.Timeout | undefined;
  #isSteady = false;

  constructor(path: string) {
    this.#path = path;
  }

  get entries(): readonly LoggedIntent[] {
    return [...this.#entries.values()];
  }

  /** Announces a step. When it returns, the line is on the disk. */
  announce(intent: Intent): (outcome: Outcome) => void {
    const n = this.#next++;
    const entry: LoggedIntent = { intent };
    this.#write({ n, intent }, true);
    this.#entries.set(n, entry);
    this.#open++;
    this.#pulse ??= setInterval(() => this.#giveSign(), SIGN_MS).unref();
    return (outcome) => {
      entry.outcome = outcome;
      if (--this.#open === 0 && !this.#isSteady) this.#stopPulse();
      this.#write({ n, outcome }, false);
    };
  }

  close(): void {
    this.#stopPulse();
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
  }

  /** Gives signs of life from now on, whatever is announced: what is committed past the guard is announced by nobody. */
  giveSigns(): void {
    this.#isSteady = true;
    this.#pulse ??= setInterval(() => this.#giveSign(), SIGN_MS).unref();
  }

  /** Makes the file, so that its name is synced with the directory's other names. */
  create(): void {
    this.#handle();
  }

  /** The file's time tells how long an intent's process was alive, and so which commits can be its own. */
  #giveSign(): void {
    if (this.#file === undefined) return;
    const now = new Date();
    try {
      futimesSync(this.#file, now, now);
    } catch {
      return; // without it, a commit of ours that comes late is taken for somebody else's, and reported
    }
  }

  #stopPulse(): void {
    clearInterval(this.#pulse);
    this.#pulse = undefined;
  }

  #handle(): number {
    try {
      if (this.#file !== undefined) return this.#file;
      this.#file = openSync(this.#path, "a");
      takeOwner(this.#path);
      return this.#file;
    } catch (error) {
      throw toIoError(error, "open", this.#path);
    }
  }

  #write(line: Line, sync: boolean): void {
    const file = this.#handle();
    if (this.#torn) throw this.#torn;
    const { size } = fstatSync(file);
    try {
      const json = JSON.stringify(line);
      writeFileSync(file, `${check(json)} ${json}\n`);
      if (sync) fdatasyncSync(file);
    } catch (error) {
      const failure = toIoError(error, "write", this.#path);
      this.#cutBack(file, size, failure);
      throw failure;
    }
  }

  /** Half a line with more after it would make the log unreadable. */
  #cutBack(file: number, size: number, failure: Error): void {
    try {
      ftruncateSync(file, size);
    } catch {
      this.#torn = failure; // no further line then: half a line at the end does no harm
    }
  }
}

/**
 * Reads a log that a dead process left. A last line that is cut short is a step that never began.
 *
 * @throws CorruptError where any other line is damaged, or there is no such file: it was there before the first step.
 */
export function readIntentLog(path: string): readonly LoggedIntent[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (!isMissing(error)) throw toIoError(error, "read", path);
    throw new CorruptError(`${path} is gone: what the operation did cannot be told.`, { path, cause: error });
  }
  const lines = text.split("\n");
  const torn = lines.pop() ?? "";
  const entries = new Map<number, LoggedIntent>();
  for (const [index, text] of lines.entries()) {
    const line = parseLine(text);
    const open = line && "outcome" in line ? entries.get(line.n) : undefined;
    if (line && "intent" in line) entries.set(line.n, { intent: line.intent });
    else if (line && open) open.outcome = line.outcome;
    else if (index < lines.length - 1 || torn !== "") {
      throw new CorruptError(`Line ${index + 1} of ${path} was changed by hand or is damaged.`, { path });
    }
  }
  return [...entries.values()];
}

function parseLine(text: string): Line | undefined {
  const [sum, json] = [text.slice(0, 16), text.slice(17)];
  if (text[16] !== " " || check(json) !== sum) return undefined;
  return JSON.parse(json) as Line;
}

function check(json: string): string {
  return createHash("sha256").update(json).digest("hex").slice(0, 16);
}
