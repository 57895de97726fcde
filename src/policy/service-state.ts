import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ValidationError } from "../errors.ts";
import { writeFileDurably } from "../fs/durable.ts";
import { isMissing, reasonOf } from "../fs/io.ts";
import { localPath } from "../fs/local-path.ts";
import { decodeRecord, encodeRecord } from "../fs/record.ts";
import { userDirectory } from "../fs/user-directory.ts";
import type { Logger } from "../logger.ts";
import type { Notice } from "./notice.ts";
import type { PolicySettings } from "./policy-set.ts";
import type { PolicyStatus } from "./policy-status.ts";
import type { RunReport } from "./run-policy.ts";

/** Says where the state is kept: a directory's path, or `off`. */
const VARIABLE = "LANCEDB_BACKUP_STATE";
const NAME = "lancedb-backup";

/** A notice that has not arrived yet. Moments are milliseconds since 1970. */
export interface WaitingNotice {
  /** The same in every attempt. */
  readonly id: string;
  /** Which of the policy's receivers. */
  readonly receiver: string;
  readonly notice: Notice;
  readonly since: number;
  readonly attempts: number;
  /** Not before then. */
  readonly next: number;
}

/** A run that failed. Moments are milliseconds since 1970. */
export interface FailedRun {
  /** When it ended. */
  readonly at: number;
  readonly durationMs: number;
  readonly type?: RunReport["type"];
  readonly step?: RunReport["step"];
  /** Of the snapshot that was taken before something behind it failed. */
  readonly snapshot?: string | undefined;
  /** In words, cut where it is long. */
  readonly error: string;
}

const MOST_FAILED = 20;
const MOST_ERROR_CHARACTERS = 1000;

/** What is to be known of a policy after a restart, and is not in its repository. Moments are milliseconds since 1970. */
export interface PolicyState {
  /** How many runs have failed in a row. */
  readonly failures: number;
  readonly lastError?: string | undefined;
  /** The last runs that failed, the oldest first: what ended them is in no repository. Kept when others go well again. */
  readonly failed?: readonly FailedRun[] | undefined;
  /** Whether the last backup failed: a verification that goes well does not end that. */
  readonly backupFails?: boolean | undefined;
  readonly lastVerify?: { readonly at: number; readonly ok: boolean } | undefined;
  /** When a run ended that removed what the policy's rules do not keep. */
  readonly lastPrune?: number | undefined;
  /** When a run began in which a verification read every blob of the newest snapshot, and found all well. */
  readonly readAll?: number | undefined;
  /** When a receiver was last told of what still goes on, by receiver and kind. */
  readonly told: Readonly<Record<string, number>>;
  readonly waiting: readonly WaitingNotice[];
}

const NOTHING: PolicyState = { failures: 0, told: {}, waiting: [] };

/**
 * Small files, one a policy, in a directory of this machine. They hold no secret. Without a directory, or where it cannot be written
 * to, which is a warning, what changes is known until the process ends; each change tries to write again.
 */
export class ServiceState {
  readonly #directory: string | undefined;
  readonly #logger: Logger;
  /** What is not written: not yet, or because it cannot be. */
  readonly #known = new Map<string, PolicyState>();
  readonly #changing = new Map<string, Promise<unknown>>();
  #isBroken = false;

  constructor(directory: string | undefined, logger: Logger) {
    this.#directory = directory;
    this.#logger = logger;
  }

  /** As it is now; other processes may change it too. A file that cannot be read is a warning. */
  read(settings: PolicySettings): PolicyState {
    const key = keyOf(settings);
    const known = this.#known.get(key);
    if (known || this.#directory === undefined) return known ?? NOTHING;
    try {
      const place = join(this.#directory, `${key}.json`);
      const { policy: _policy, repository: _repository, ...state } = decodeRecord(readFileSync(place), place);
      return { ...NOTHING, ...state };
    } catch (error) {
      if (!isMissing(error)) {
        const meta = { policy: settings.name, reason: reasonOf(error) };
        this.#logger.warn("the stored state of a policy cannot be read", meta);
      }
      return NOTHING;
    }
  }

  /** Whether anything is remembered of how a policy stands on this machine. */
  knows(settings: PolicySettings): boolean {
    const { failed: _failed, ...state } = this.read(settings);
    return !isDeepStrictEqual(state, NOTHING);
  }

  /** What a status tells of it. */
  statusOf(settings: PolicySettings): Pick<PolicyStatus, "consecutiveFailures" | "lastError" | "lastVerify"> {
    const { failures, lastError, lastVerify } = this.read(settings);
    return {
      consecutiveFailures: failures,
      ...(lastError !== undefined && { lastError }),
      ...(lastVerify && { lastVerify: { ...lastVerify, at: new Date(lastVerify.at) } }),
    };
  }

  /** A run has ended. Answers with what was known before it. */
  async end(settings: PolicySettings, report: RunReport): Promise<PolicyState> {
    const { outcome, error, startedAt, endedAt, verification, prune, type, snapshot } = report;
    const isSound = verification?.every(({ ok }) => ok) === true;
    const isReadAll = isSound && verification.length > 0 && settings.verification.readData === true;
    const rolled = verification?.find((one) => one.oldestBlobSeconds !== undefined)?.oldestBlobSeconds;
    let before = NOTHING;
    await this.change(settings, (state) => {
      before = state;
      const { lastError: _lastError, backupFails, ...rest } = state;
      const done = {
        ...(prune && settings.retention.schedule && { lastPrune: endedAt.getTime() }),
        ...(verification && {
          lastVerify: { at: endedAt.getTime(), ok: isSound },
          ...(isReadAll && { readAll: startedAt.getTime() }),
          ...(rolled !== undefined && { readAll: Math.round(endedAt.getTime() - rolled * 1000) }),
        }),
      };
      if (outcome === "aborted") return { ...state, ...done };
      if (endsFailures(report, state)) return { ...rest, ...done, failures: 0 };
      if (outcome === "success") return { ...state, ...done };
      const fails = snapshot === undefined && (backupFails === true || type !== undefined);
      const failures = state.failures + 1;
      return {
        ...rest,
        ...done,
        failures,
        lastError: reasonOf(error),
        failed: [...(state.failed ?? []), failedRun(report)].slice(-MOST_FAILED),
        ...(fails && { backupFails: true }),
      };
    });
    return before;
  }

  /** Changes it, behind other changes of this process to the same policy. Answers with what it is then. */
  change(settings: PolicySettings, how: (state: PolicyState) => PolicyState): Promise<PolicyState> {
    const key = keyOf(settings);
    const before = this.#changing.get(key) ?? Promise.resolve();
    const changing = before.then(() => this.#change(settings, key, how));
    const settled = changing.then(
      () => undefined,
      () => undefined,
    );
    this.#changing.set(key, settled);
    void settled.then(() => {
      if (this.#changing.get(key) === settled) this.#changing.delete(key);
    });
    return changing;
  }

  async #change(
    settings: PolicySettings,
    key: string,
    how: (state: PolicyState) => PolicyState,
  ): Promise<PolicyState> {
    const before = this.read(settings);
    const after = how(before);
    if (isDeepStrictEqual(before, after) && !this.#known.has(key)) return after;
    this.#known.set(key, after);
    if (this.#directory === undefined) return after;
    try {
      await writeState(this.#directory, key, settings, after);
      this.#known.delete(key);
      if (this.#known.size === 0) this.#isBroken = false;
    } catch (error) {
      if (this.#isBroken) return after;
      this.#isBroken = true;
      const meta = { directory: this.#directory, reason: reasonOf(error) };
      this.#logger.warn("the state for the next start cannot be stored", meta);
    }
    return after;
  }
}

function failedRun({ endedAt, durationMs, type, step, snapshot, error }: RunReport): FailedRun {
  return {
    ...{ at: endedAt.getTime(), durationMs },
    ...(type !== undefined && { type }),
    ...(step !== undefined && { step }),
    ...(snapshot && { snapshot: snapshot.id }),
    error: reasonOf(error).slice(0, MOST_ERROR_CHARACTERS),
  };
}

/** Whether a run ends what failed before: a backup that fails is not put right by a verification. */
export function endsFailures({ outcome, snapshot }: RunReport, { backupFails }: PolicyState): boolean {
  return outcome === "success" && (snapshot !== undefined || backupFails !== true);
}

async function writeState(
  directory: string,
  key: string,
  { name, storage }: PolicySettings,
  state: PolicyState,
): Promise<void> {
  const path = join(directory, `${key}.json`);
  if (isDeepStrictEqual(state, NOTHING)) {
    try {
      unlinkSync(path);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    return;
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  await writeFileDurably(path, encodeRecord({ policy: name, repository: storage.location, ...state }));
}

/** Policies of several files may have one name. */
function keyOf({ name, storage }: PolicySettings): string {
  return createHash("sha256").update(`${storage.location}\n${name}`).digest("hex").slice(0, 32);
}

/**
 * Where the state is kept: what the option says, or `LANCEDB_BACKUP_STATE`, or systemd (`StateDirectory=`), or else a directory of the
 * user's own. Undefined: nowhere.
 *
 * @throws ValidationError, TypeError for an option that is no path.
 */
export function stateDirectory(
  option: string | false | undefined,
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string | undefined {
  if (option === false) return undefined;
  if (option !== undefined) {
    if (typeof option !== "string")
      throw new TypeError("stateDirectory must be a directory's path or false.");
    if (option === "")
      throw new ValidationError("stateDirectory is empty: give a directory's path, or false.");
    return localPath(option, "stateDirectory");
  }
  const told = env[VARIABLE];
  if (told === "off") return undefined;
  if (told) return localPath(told, VARIABLE);
  // Of several, systemd names the first one first.
  const [ofSystemd] = (env["STATE_DIRECTORY"] ?? "").split(":");
  if (ofSystemd) return localPath(ofSystemd, "STATE_DIRECTORY");
  return userDirectory("state", NAME, env, platform);
}
