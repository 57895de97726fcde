import { setTimeout as sleep } from "node:timers/promises";
import { LockedError } from "../../errors.ts";
import { defaultLogger, type Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { type Clock, systemClock } from "../clock.ts";
import { Lease } from "./lease.ts";
import { type FoundLease, findLeases, type LeaseKind, newLeaseName } from "./lease-record.ts";

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1000;

export interface LeaseOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for others, milliseconds. Default 60,000; 0: not at all. */
  readonly timeoutMs?: number | undefined;
  readonly logger?: Logger | undefined;
  /** @internal For tests. */
  readonly clock?: Clock | undefined;
}

/**
 * Waits until the lease can be had, as docs/formats.md says under "Leases". While an `exclusive` one waits for the
 * `shared` ones that are there, no new ones come in.
 *
 * @throws LockedError after the time limit, naming who holds it. @throws the signal's reason. Then no lease is left.
 */
export async function acquireLease(
  storage: Storage,
  kind: LeaseKind,
  options: LeaseOptions = {},
): Promise<Lease> {
  const { signal, timeoutMs = 60_000, clock = systemClock, logger = defaultLogger() } = options;
  const deadline = performance.now() + timeoutMs;
  const holders = async (held: LeaseKind, mine?: string) => {
    const found = await findLeases(storage, clock.now(), signal);
    return found.filter((lease) => lease.alive && lease.kind === held && lease.name !== mine);
  };
  const orTimeUp = (found: readonly FoundLease[]) => {
    if (found.length > 0 && performance.now() >= deadline) throw inUse(storage, kind, found);
  };
  for (let turn = 0; ; turn++) {
    // Who waits for an exclusive lease makes none meanwhile, which its holder would wait for.
    await waitUntilNone(() => holders("exclusive"), orTimeUp, signal);
    const lease = new Lease({ storage, clock, logger }, kind, newLeaseName(kind));
    await lease.create(signal);
    try {
      const rivals = await holders("exclusive", lease.name);
      if (rivals.length === 0) {
        if (kind === "exclusive") await waitUntilNone(() => holders("shared"), orTimeUp, signal);
        await lease.assertHeld();
        return lease;
      }
      orTimeUp(rivals);
    } catch (error) {
      await lease.release();
      throw error;
    }
    await lease.release();
    await pause(turn, signal);
  }
}

async function waitUntilNone(
  look: () => Promise<readonly FoundLease[]>,
  onFound: (found: readonly FoundLease[]) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let turn = 0; ; turn++) {
    signal?.throwIfAborted();
    const found = await look();
    if (found.length === 0) return;
    onFound(found);
    await pause(turn, signal);
  }
}

function inUse(storage: Storage, kind: LeaseKind, holders: readonly FoundLease[]): LockedError {
  const who = holders.map(({ holder, name }) => `${holder} (${name})`).join("; ");
  return new LockedError(
    `No ${kind} lease was to be had on the repository ${storage.location}: it is in use by ${who}. ` +
      "Where that process has ended on another machine, its lease ends an hour after its last sign of life, or when its file is removed by hand.",
  );
}

/** Random, so that two that withdrew for each other do not meet again for ever. */
async function pause(turn: number, signal: AbortSignal | undefined): Promise<void> {
  const ms = Math.min(FIRST_PAUSE_MS * 1.5 ** turn, LONGEST_PAUSE_MS) * (0.5 + Math.random());
  try {
    await sleep(ms, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
