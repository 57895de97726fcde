import { assertFlag, assertKnown, assertSignal } from "../../checks.ts";
import { ValidationError } from "../../errors.ts";
import type { OnProgress } from "../progress.ts";

/** `integrity`: every blob is there, with its size and its bytes. `completeness`: every file that a manifest names is. */
export type Check = "integrity" | "completeness" | { readonly minBytes: number };

export interface VerifyOptions {
  /** Default: `integrity` and `completeness`. */
  checks?: readonly Check[] | undefined;
  /** Also restore each snapshot into a temporary directory, and read it there. Default false. */
  restoreTest?: boolean | undefined;
  /**
   * How much of the blobs `integrity` hashes: all (true, the default), a random part (0.1 is a tenth of the blobs), or
   * none (false): then sizes alone are looked at, as they are of every blob in any case.
   */
  readData?: boolean | number | undefined;
  /**
   * Read every blob of the repository within so many days, by turns: each run reads its share by the time since the last one, goes on
   * where that ended, and notes in the repository what was read when. Checks `integrity` alone unless told otherwise; the result
   * `rolling` has `oldestBlobSeconds`. Default: no.
   */
  rollingDays?: number | undefined;
  /**
   * Move blobs that were read and are damaged into the repository's directory `quarantine`, so that the next backup of a
   * database that still has the files stores them anew. Local directories only. Default false: nothing is changed.
   */
  quarantine?: boolean | undefined;
  /** Of which database, by its id or its directory: its snapshots alone, or the one of it that is meant. */
  source?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** Options as the checks need them. */
export interface VerifySettings {
  readonly integrity: boolean;
  readonly completeness: boolean;
  readonly minBytes: number | undefined;
  readonly restoreTest: boolean;
  /** From 0 to 1. */
  readonly fraction: number;
  readonly rollingDays: number | undefined;
}

/** @throws ValidationError, TypeError. */
export function settingsFrom(options: VerifyOptions): VerifySettings {
  assertKnown(options, "verify", {
    checks: true,
    restoreTest: true,
    readData: true,
    rollingDays: true,
    quarantine: true,
    source: true,
    signal: true,
    onProgress: true,
  });
  const { rollingDays, restoreTest = false, readData = true } = options;
  assertRolling(options);
  const { checks = rollingDays === undefined ? ["integrity", "completeness"] : ["integrity"] } = options;
  if (!Array.isArray(checks)) throw new TypeError("checks must be a list.");
  assertFlag(restoreTest, "restoreTest");
  assertFlag(options.quarantine, "quarantine");
  assertSignal(options.signal);
  const sizes = checks.filter((check): check is { minBytes: number } => typeof check === "object");
  for (const check of checks as readonly unknown[]) assertCheck(check);
  return {
    integrity: checks.includes("integrity"),
    completeness: checks.includes("completeness"),
    minBytes: sizes.length > 0 ? Math.max(...sizes.map(({ minBytes }) => minBytes)) : undefined,
    restoreTest,
    fraction: fractionFrom(readData),
    rollingDays,
  };
}

function assertRolling({ rollingDays, readData, source }: VerifyOptions): void {
  if (rollingDays === undefined) return;
  if (typeof rollingDays !== "number") throw new TypeError("rollingDays must be a number.");
  if (!(rollingDays > 0 && Number.isFinite(rollingDays)))
    throw new ValidationError(`rollingDays must be above 0, not ${rollingDays}.`);
  if (readData !== undefined || source !== undefined) {
    const other = source === undefined ? "readData" : "source";
    throw new ValidationError(
      `rollingDays and ${other} cannot be used together: rollingDays reads a share of all blobs.`,
    );
  }
}

function assertCheck(check: unknown): void {
  if (check === "integrity" || check === "completeness") return;
  const minBytes =
    typeof check === "object" && check !== null && "minBytes" in check ? check.minBytes : undefined;
  if (typeof minBytes === "number" && minBytes >= 0) return;
  throw new ValidationError(
    `${JSON.stringify(check)} is no check: there are "integrity", "completeness" and { minBytes: <bytes, from 0> }.`,
  );
}

function fractionFrom(readData: unknown): number {
  if (typeof readData === "boolean") return readData ? 1 : 0;
  if (typeof readData !== "number") throw new TypeError("readData must be true, false or a number.");
  if (readData >= 0 && readData <= 1) return readData;
  throw new ValidationError(`readData is ${readData}; it must be from 0 (no blob is read) to 1 (all are).`);
}
