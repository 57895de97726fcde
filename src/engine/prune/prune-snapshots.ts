import { assertFlag, assertMilliseconds, assertOptions, assertSignal } from "../../checks.ts";
import { ImplausibleError, LockedError, ValidationError } from "../../errors.ts";
import { isFull } from "../../fs/io.ts";
import { advice } from "../../hint.ts";
import type { Storage } from "../../storage/storage.ts";
import { type Clock, systemClock } from "../../util/clock.ts";
import { isRunLease } from "../format/names.ts";
import { forgetGone, removeUnlessPinned } from "../labels/remove-snapshot.ts";
import type { Leaser } from "../lease/lease.ts";
import { leaserOf } from "../lease/leaser.ts";
import { endangeredInWords } from "../retention/implausible.ts";
import { type KeptSnapshot, reasonOfPin } from "../retention/plan-retention.ts";
import { assertPolicy, type RetentionPolicy } from "../retention/retention-policy.ts";
import { removeDeadScratch } from "../scratch.ts";
import { documentsIn } from "./document-names.ts";
import { type Mark, writeMarks } from "./mark.ts";
import { type PrunePlace, type PrunePlan, planPrune } from "./plan-prune.ts";
import { countOf, type PruneReport, snapshotsOf, waitingOf } from "./prune-report.ts";
import { sweepBlobs } from "./sweep-blobs.ts";
import { findUnfinished, removeUnfinished } from "./unfinished.ts";

export interface PruneOptions extends RetentionPolicy {
  /** Say what would be done, and change nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /**
   * How long a blob stays after it was first found unneeded. It is removed by a later prune, then. Default 24;
   * 0: by this one.
   */
  readonly graceHours?: number | undefined;
  /**
   * Remove also good snapshots behind implausible ones: where all newer ones that stay have less than half of the rows or tables (of what
   * has no rows, files or bytes), or a date that cannot be right. Default false: `ImplausibleError`, and nothing is removed.
   */
  readonly force?: boolean | undefined;
  /**
   * Remove also entries of the audit log that are older than so many days; one that says so is written first, and what stays verifies from
   * it. Default: none is ever removed.
   */
  readonly keepAuditDays?: number | undefined;
  /** How long to wait for backups to end before blobs are removed, in milliseconds. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
  /** Ends it between two steps. What was not done, the next prune does. */
  readonly signal?: AbortSignal | undefined;
  /** @internal Ids of the snapshots that somebody has agreed to lose: with others among them it is a dry run. */
  readonly agreed?: readonly string[] | undefined;
  /** @internal For tests. */
  readonly clock?: Clock | undefined;
}

const HOUR_MS = 60 * 60 * 1000;

interface Run extends PrunePlace {
  readonly clock: Clock;
  readonly leaser: Leaser;
  readonly graceMs: number;
  readonly lockTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Removes the snapshots that the policy does not keep, and in two phases the blobs that no snapshot names
 * (docs/formats.md, "Removing blobs"). Interrupted anywhere it leaves every snapshot that there is whole.
 *
 * @throws CorruptError or UnsupportedError where any snapshot's document cannot be read: no blob is removed then.
 * @throws ImplausibleError where good snapshots would go behind implausible ones: nothing is removed.
 * @throws ValidationError, TypeError for bad options. @throws IoError. @throws the signal's reason.
 */
export async function prune(place: PrunePlace, options: PruneOptions = {}): Promise<PruneReport> {
  assertOptions(options, "prune");
  const {
    dryRun = false,
    force = false,
    keepAuditDays,
    graceHours = 24,
    lockTimeoutMs = 60_000,
    signal,
    agreed,
    clock = systemClock,
    ...policy
  } = options;
  assertPolicy(policy);
  assertGrace(graceHours);
  assertMilliseconds(lockTimeoutMs, "lockTimeoutMs");
  assertFlag(dryRun, "dryRun");
  assertFlag(force, "force");
  assertDays(keepAuditDays, "keepAuditDays");
  assertSignal(signal);
  signal?.throwIfAborted();
  const leaser = leaserOf(place.storage, { logger: place.logger, clock });
  const run: Run = { ...place, clock, leaser, graceMs: graceHours * HOUR_MS, lockTimeoutMs, signal };
  const plan = await planPrune(place, policy, timeOf(run), signal);
  const isAgreed = plan.retention.remove.every(({ snapshot }) => agreed?.includes(snapshot.id) ?? true);
  if (!dryRun && !force) assertPlausible(place.storage, plan);
  return dryRun || !isAgreed ? foretell(run, plan) : carryOut(run, plan);
}

function assertPlausible({ location }: Storage, { endangered }: PrunePlan): void {
  if (endangered.length === 0) return;
  throw new ImplausibleError(
    advice`Nothing was removed from ${location}: good snapshots would be removed, and implausible ones kept. ${endangeredInWords(endangered)}. Look at the snapshots that would be kept. If they are right, prune ${{ options: { force: true } }}; if not, pin the good ones.`,
    endangered,
  );
}

async function foretell(run: Run, plan: PrunePlan): Promise<PruneReport> {
  const { dead, unfinished } = await leftByTheDead(run);
  const fresh = { createdAt: timeOf(run).now, blobs: plan.toMark };
  return {
    dryRun: true,
    ...snapshotsOf(plan),
    marked: countOf(plan.toMark, plan),
    freed: countOf(plan.toFree, plan),
    waiting: waitingOf(run.graceMs, plan, [fresh, ...plan.waiting], plan.toFree),
    unfinished: unfinished.length,
    deadLeases: dead.length,
  };
}

async function carryOut(run: Run, plan: PrunePlan): Promise<PruneReport> {
  const { storage, logger, signal } = run;
  // Marks first: whoever reads a snapshot that goes has the grace period to end, also if we die in between.
  const mark = (blobs = plan.toMark) => writeMarks(storage, timeOf(run).now, blobs, signal);
  const removeVoid = async () => {
    for (const name of plan.void) await storage.remove(name);
  };
  let fresh = await unlessFull(mark);
  const pinned: KeptSnapshot[] = [];
  for (const { snapshot, reason } of plan.retention.remove) {
    signal?.throwIfAborted();
    const pin = await removeUnlessPinned(run, snapshot.id, signal);
    if (pin) pinned.push({ snapshot: { ...snapshot, pinned: pin }, reasons: [reasonOfPin(pin)] });
    else logger.info("snapshot removed", { snapshot: snapshot.id, reason });
  }
  await forgetGone(run, async () => (await documentsIn(storage, signal)).ids, signal);
  const { dead, unfinished } = await leftByTheDead(run);
  for (const name of dead) await run.leaser.remove(name);
  await removeUnfinished(storage, unfinished);
  if (storage.local) await removeDeadScratch(storage.local.root);
  // On a full disk there is room now. Had we died in between, the next prune would have marked them, and waited.
  fresh ??= await unlessFull(mark);
  if (fresh) await removeVoid();
  // With no room for a mark, blobs without a grace period go all the same.
  const due = [...plan.due, ...(run.graceMs === 0 ? (fresh ?? []) : [])];
  const { freed, postponed } = await sweep(run, plan, due);
  if (!fresh) {
    const gone = new Set(freed);
    fresh = await mark(plan.toMark.filter((sha256) => !gone.has(sha256)));
    await removeVoid();
  }
  const report: PruneReport = {
    dryRun: false,
    ...snapshotsOf(plan, pinned),
    marked: countOf(plan.toMark, plan),
    freed: countOf(freed, plan),
    waiting: waitingOf(
      run.graceMs,
      plan,
      [...fresh, ...plan.waiting, ...plan.due],
      postponed ? [] : plan.toFree,
    ),
    ...(postponed !== undefined && { postponed }),
    unfinished: unfinished.length,
    deadLeases: dead.length,
  };
  logger.info("repository pruned", {
    removed: report.removed.length,
    marked: report.marked.blobs,
    ...report.freed,
  });
  return report;
}

/** Undefined where the disk is full: a prune is how it gets room again. */
async function unlessFull(mark: () => Promise<Mark[]>): Promise<Mark[] | undefined> {
  try {
    return await mark();
  } catch (error) {
    if (isFull(error)) return undefined;
    throw error;
  }
}

/** Where backups do not end in time, the marks stay for the next prune. */
async function sweep(
  run: Run,
  plan: PrunePlan,
  due: readonly Mark[],
): Promise<{ freed: readonly string[]; postponed?: string }> {
  const { storage, logger, leaser, lockTimeoutMs, signal } = run;
  if (due.length === 0 && plan.toFree.length === 0) return { freed: [] };
  const lease = await leaser
    .acquire("exclusive", { signal, timeoutMs: lockTimeoutMs })
    .catch((error: unknown) => {
      if (error instanceof LockedError) return error;
      throw error;
    });
  if (lease instanceof LockedError) {
    logger.warn("unneeded blobs were not removed: the repository is in use", { reason: lease.message });
    return { freed: [], postponed: lease.message };
  }
  await using held = lease;
  const freed = await sweepBlobs(run, plan, due, held, signal);
  for (const mark of due) await storage.remove(mark.name);
  return { freed };
}

/** What cannot be told to be a dead one's is not while a backup is under way that may have made it. */
async function leftByTheDead(run: Run): Promise<{ dead: string[]; unfinished: string[] }> {
  const now = run.clock.now();
  const leases = await run.leaser.list(run.signal);
  const dead = leases.filter((lease) => !lease.alive).map((lease) => lease.name);
  const isBusy = leases.some(({ alive, kind }) => alive && !isRunLease(kind));
  return { dead, unfinished: await findUnfinished(run.storage, { now, ageMs: run.graceMs, isBusy }) };
}

function timeOf({ clock, graceMs }: Run): { now: Date; graceMs: number } {
  return { now: new Date(clock.now()), graceMs };
}

function assertDays(days: unknown, name: string): void {
  if (days === undefined) return;
  if (typeof days !== "number") throw new TypeError(`${name} must be a number.`);
  if (!(days > 0)) throw new ValidationError(`${name} must be above 0, not ${days}.`);
}

function assertGrace(hours: unknown): void {
  if (typeof hours !== "number") throw new TypeError("graceHours must be a number.");
  if (!(hours >= 0 && Number.isFinite(hours)))
    throw new ValidationError(`graceHours must be 0 or more, not ${hours}.`);
}
