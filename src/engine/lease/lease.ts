import { LockedError } from "../../errors.ts";
import type { Logger } from "../../logger.ts";
import type { Clock } from "../../util/clock.ts";
import type { LeaseKind } from "../format/names.ts";
import type { FoundLease, LeaseTerms } from "./lease-record.ts";

/** A lease that is held, and renewed by a timer that does not keep the process alive. What is lost stays lost. */
export interface Lease extends AsyncDisposable {
  readonly kind: LeaseKind;
  /** By which `list` and `remove` know it. */
  readonly name: string;
  /** Whether it is still held, as far as this process knows; the storage is not asked. */
  readonly isHeld: boolean;
  /**
   * To be called before what must not happen without the lease. The storage is asked where what is known is not enough.
   *
   * @throws LockedError where the lease was lost or given back. @throws IoError where the storage cannot tell.
   */
  assertHeld(): Promise<void>;
  /** Gives it back; can be done twice. Never throws: to this process it is gone at once. */
  release(): Promise<void>;
}

/** A lease being made: it is had when nobody is in the way. */
export interface NewLease extends Lease {
  /** Writes the object; where that fails, none stays if it can be helped. */
  create(signal: AbortSignal | undefined): Promise<void>;
}

export interface LeasePlace {
  readonly location: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Whether a lease is still held, as its holder can know without the storage: by when it was last renewed. */
export class LeaseState {
  readonly since: Date;
  readonly #place: LeasePlace;
  readonly #what: string;
  readonly #terms: LeaseTerms;
  readonly #onLost: () => void;
  #renewed: LeaseMoment;
  #lost: string | undefined;

  /** @param onLost called once, when it turns out to be lost. */
  constructor(place: LeasePlace, what: string, terms: LeaseTerms, onLost: () => void) {
    this.#place = place;
    this.#what = what;
    this.#terms = terms;
    this.#onLost = onLost;
    this.#renewed = this.time();
    this.since = new Date(this.#renewed.now);
  }

  time(): LeaseMoment {
    return { now: this.#place.clock.now(), monotonic: this.#place.clock.monotonic() };
  }

  /** @param begun before the storage was asked, since its own clock may tell any time from then on. */
  renewedAt(begun: LeaseMoment): void {
    this.#renewed = begun;
  }

  /** Milliseconds since it was renewed. The wall clock runs on while a machine sleeps, the other one when that is set back. */
  get silenceMs(): number {
    const { now, monotonic } = this.time();
    return Math.max(now - this.#renewed.now, monotonic - this.#renewed.monotonic);
  }

  lose(why: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = why;
    this.#onLost();
    this.#place.logger.warn("a lease was lost", { lease: this.#what, reason: why });
  }

  end(): void {
    this.#lost ??= "it was released";
  }

  whyLost(): string | undefined {
    if (this.#lost !== undefined) return this.#lost;
    const silence = this.silenceMs;
    if (silence > this.#terms.lostAfterMs)
      this.lose(`it was not renewed for ${Math.round(silence / 60_000)} minutes`);
    return this.#lost;
  }

  /** @throws LockedError */
  assertHeld(): void {
    const why = this.whyLost();
    if (why === undefined) return;
    throw new LockedError(`The lease ${this.#what} on ${this.#place.location} was lost: ${why}.`);
  }
}

export interface LeaseMoment {
  readonly now: number;
  readonly monotonic: number;
}

export interface AcquireOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for others, milliseconds. Default 60,000; 0: not at all. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Who works in a repository: backups beside each other, what removes blobs alone, and runs of a policy one after the other
 * (docs/formats.md, *Leases*).
 */
export interface Leaser {
  /**
   * Waits until the lease can be had. While an `exclusive` one waits for the `shared` ones that are there, no new ones
   * come in.
   *
   * @throws LockedError after the time limit, naming who holds it. @throws IoError. @throws the signal's reason. Then
   * no lease is left.
   */
  acquire(kind: LeaseKind, options?: AcquireOptions): Promise<Lease>;

  /** Every lease in the storage, and what is known of its holder. */
  list(signal?: AbortSignal): Promise<FoundLease[]>;

  /** Takes a lease away, whoever holds it: a live holder stops when it finds that out. One that is not there is success. */
  remove(name: string): Promise<void>;
}
