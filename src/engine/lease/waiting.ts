import { setTimeout as sleep } from "node:timers/promises";
import { LockedError } from "../../errors.ts";
import { advice } from "../../hint.ts";
import type { Logger } from "../../logger.ts";
import { ToldWait } from "../../util/tell-waiting.ts";
import type { LeaseKind } from "../format/names.ts";
import type { AcquireOptions, Lease, LeasePlace, NewLease } from "./lease.ts";
import type { FoundLease } from "./lease-record.ts";

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1000;

/** A wait for other holders, that ends at its time limit or by a signal. */
class Waiting {
  readonly #location: string;
  readonly #kind: LeaseKind;
  readonly #deadline: number;
  readonly #signal: AbortSignal | undefined;
  readonly #told: ToldWait;

  constructor(
    { location, logger }: { readonly location: string; readonly logger: Logger },
    kind: LeaseKind,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ) {
    this.#told = new ToldWait(logger);
    this.#location = location;
    this.#kind = kind;
    this.#deadline = performance.now() + timeoutMs;
    this.#signal = signal;
  }

  /** @throws LockedError where somebody is there, and the time is up. */
  orTimeUp(found: readonly FoundLease[]): void {
    if (found.length === 0) return;
    const who = found.map(({ holder, name }) => `${holder} (${name})`).join("; ");
    this.#told.turn(() => `the repository ${this.#location}, in use by ${who}`);
    if (performance.now() < this.#deadline) return;
    throw new LockedError(
      advice`Could not get the ${this.#kind} lease on the repository ${this.#location}: it is in use by ${who}. If that process has ended on another machine, its lease expires some time after its last sign of life, or can be removed: ${{ call: "unlock", repository: this.#location }}.`,
    );
  }

  /** Looks until nobody is found, or for `mostMs`. Answers with whether nobody was. */
  async untilNone(
    look: () => Promise<readonly FoundLease[]>,
    mostMs = Number.POSITIVE_INFINITY,
  ): Promise<boolean> {
    const end = performance.now() + mostMs;
    for (let turn = 0; performance.now() < end; turn++) {
      this.#signal?.throwIfAborted();
      const found = await look();
      if (found.length === 0) return true;
      this.orTimeUp(found);
      await this.pause(turn);
    }
    return false;
  }

  /** Random, so that two that withdrew for each other do not meet again for ever. */
  async pause(turn: number): Promise<void> {
    const ms = Math.min(FIRST_PAUSE_MS * 1.5 ** turn, LONGEST_PAUSE_MS) * (0.5 + Math.random());
    try {
      await sleep(ms, undefined, this.#signal ? { signal: this.#signal } : {});
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw error;
    }
  }
}

/** How one kind of storage makes leases, and sees others'. */
export interface LeaseWay {
  /** Whether others are looked for before the first lease is made, too. Where a look costs a request, they are not. */
  readonly looksFirst: boolean;
  /** For how long others are only looked at before a new lease is made. */
  readonly longestLookMs: number;
  newLease(kind: LeaseKind): NewLease;
  /** The live leases of a kind, but the given one, as its holder sees them. */
  lookFrom(
    lease: NewLease | undefined,
    signal: AbortSignal | undefined,
  ): (held: LeaseKind) => Promise<readonly FoundLease[]>;
}

/**
 * Acquires a lease as `Leaser.acquire` says: it is made first, and had when none that bars it is seen behind it: for a shared one an
 * exclusive one, for others one of the same kind.
 */
export async function acquireLease(
  way: LeaseWay,
  place: LeasePlace,
  kind: LeaseKind,
  { signal, timeoutMs = 60_000 }: AcquireOptions,
): Promise<Lease> {
  const waiting = new Waiting(place, kind, timeoutMs, signal);
  const barring = kind === "shared" ? "exclusive" : kind;
  let look = way.lookFrom(undefined, signal);
  for (let turn = 0; ; turn++) {
    signal?.throwIfAborted();
    // Who waits for an exclusive lease makes none meanwhile, which its holder would wait for.
    if (turn > 0 || way.looksFirst) await waiting.untilNone(() => look(barring), way.longestLookMs);
    const lease = way.newLease(kind);
    await lease.create(signal);
    look = way.lookFrom(lease, signal);
    try {
      const rivals = await look(barring);
      if (rivals.length === 0) {
        if (kind === "exclusive") await waiting.untilNone(() => look("shared"));
        await lease.assertHeld();
        return lease;
      }
      waiting.orTimeUp(rivals);
    } catch (error) {
      await lease.release();
      throw error;
    }
    await lease.release();
    await waiting.pause(turn);
  }
}
