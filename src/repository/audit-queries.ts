import { types } from "node:util";
import { assertKnown, assertSignal } from "../checks.ts";
import type { AuditEntry } from "../engine/audit/audit-entry.ts";
import { listEntries } from "../engine/audit/audit-log.ts";
import { type AuditReport, type VerifyAuditOptions, verifyAuditLog } from "../engine/audit/verify-audit.ts";
import { ValidationError } from "../errors.ts";
import { isDigest } from "../fs/fields.ts";
import type { OpenedRepository } from "./opened-repository.ts";

/** Which entries are listed: those that fit in everything that is given. Default: all. */
export interface AuditFilter {
  /** Such as `["restore", "prune"]`. */
  readonly operations?: readonly string[] | undefined;
  /** Of this time, or later. */
  readonly after?: Date | undefined;
  /** Earlier than this. */
  readonly before?: Date | undefined;
  /** How many of the newest to return. In a store each entry that is looked at is a request. */
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A restore that has ended, well or not. */
export interface RestoreRecord {
  /** The snapshot's id; where it failed before that was known, what was asked for. */
  readonly snapshot: string;
  /** When it had ended. */
  readonly at: Date;
  readonly durationMs: number;
  readonly outcome: "success" | "failure" | "aborted";
  readonly user: string;
  readonly host: string;
  /** What the repository was opened with as `actor`. */
  readonly actor?: string | undefined;
  /** Without passwords. */
  readonly targets: readonly string[];
  /** `new` or `in-place`; undefined where it failed. */
  readonly mode?: string | undefined;
  readonly files?: number | undefined;
  readonly bytes?: number | undefined;
  /** The code of the error that ended it. */
  readonly error?: string | undefined;
}

/** @throws ValidationError, TypeError */
function assertAuditFilter(filter: AuditFilter): void {
  assertKnown(filter, "audit", { operations: true, after: true, before: true, limit: true, signal: true });
  const { operations, after, before, limit, signal } = filter;
  if (
    operations !== undefined &&
    !(Array.isArray(operations) && operations.every((one) => typeof one === "string"))
  )
    throw new TypeError("operations must be an array of strings.");
  for (const [name, moment] of Object.entries({ after, before })) {
    if (moment === undefined) continue;
    if (!types.isDate(moment)) throw new TypeError(`${name} must be a Date.`);
    if (Number.isNaN(moment.getTime())) throw new ValidationError(`${name} is no time.`);
  }
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 1))
    throw new ValidationError(`limit must be a whole number from 1, not ${limit}.`);
  assertSignal(signal);
}

/** As `Repository.audit` says. */
export async function listAudit(at: OpenedRepository, filter: AuditFilter): Promise<AuditEntry[]> {
  assertAuditFilter(filter);
  const { operations, after, before, limit, signal } = filter;
  const fits = (entry: AuditEntry) =>
    (operations?.includes(entry.operation) ?? true) &&
    (after === undefined || entry.at >= after) &&
    (before === undefined || entry.at < before);
  return at.inPlace(() => listEntries(placeOf(at), fits, limit, signal));
}

/** As `Repository.restores` says. */
export async function listRestores(
  at: OpenedRepository,
  filter: Omit<AuditFilter, "operations">,
): Promise<RestoreRecord[]> {
  const entries = await listAudit(at, { ...filter, operations: ["restore"] });
  return entries.map((entry) => {
    const { details, actor, outcome, durationMs } = entry;
    const { snapshot, targets, mode, error, files, bytes } = details;
    return {
      ...{ snapshot: textOf(snapshot) ?? "", at: entry.at, durationMs, outcome },
      ...{ user: actor.user, host: actor.host, actor: actor.name },
      targets: Array.isArray(targets) ? targets.map(String) : [],
      ...{ mode: textOf(mode), error: textOf(error) },
      ...{ files: numberOf(files), bytes: numberOf(bytes) },
    };
  });
}

/** As `Repository.verifyAudit` says. */
export async function checkAudit(at: OpenedRepository, options: VerifyAuditOptions): Promise<AuditReport> {
  assertKnown(options, "verifyAudit", { expect: true, signal: true });
  const { expect, signal } = options;
  assertSignal(signal);
  if (expect !== undefined) {
    assertKnown(expect, "expect", { number: true, sha256: true });
    if (!Number.isSafeInteger(expect.number) || expect.number < 1 || !isDigest(expect.sha256))
      throw new ValidationError("expect must have the number and the sha256 of an entry.");
  }
  return at.inPlace(() => verifyAuditLog(placeOf(at), options));
}

function placeOf({ storage, logger, blobs }: OpenedRepository) {
  return { storage, logger, documents: blobs.documents };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
