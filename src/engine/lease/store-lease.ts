import { type LeaseKind, numberedName } from "../format/names.ts";
import { forgetLease, type LeaseRecord, type LeaseTerms } from "./lease-record.ts";
import { RenewedLease, type StoredLeasePlace } from "./renewed-lease.ts";

/**
 * Two renewals may fail. Between `lostAfterMs` and `deadAfterMs` a request that hangs comes to its end (4 tries with 10 s to
 * connect and 60 s of silence), and clocks of the store's servers may differ.
 */
const STORE_TERMS: LeaseTerms = { renewEveryMs: 60_000, lostAfterMs: 180_000, deadAfterMs: 600_000 };

/** In which a store has carried out what it was asked for, and has not answered. */
const LATE_MS = 30_000;
const FIRST_PAUSE_MS = 500;
/** A removal is tried again for so long; then the lease is dead to everybody. */
const REMOVAL = { longestPauseMs: 60_000, mostPauses: 20 };

/**
 * A lease as objects in a store, a new one each minute (docs/formats.md). It is lost where its newest object was removed by
 * somebody, or where it was not renewed for three minutes.
 */
export class StoreLease extends RenewedLease {
  /** Never used twice: what was not answered may come to be there later. */
  #number = 0;
  /** The newest that was answered for. */
  #newest = "";
  /** The one before it: others may be reading it. */
  #before = "";
  /** All that may be in the store, the newest too. */
  readonly #all = new Set<string>();
  /** Asked for, and not answered. */
  readonly #unclear = new Set<string>();

  constructor(place: StoredLeasePlace, kind: LeaseKind) {
    super(place, kind, STORE_TERMS);
  }

  protected make(record: LeaseRecord, signal: AbortSignal | undefined): Promise<void> {
    return this.#put(record, signal);
  }

  protected renew(record: LeaseRecord, signal: AbortSignal): Promise<void> {
    return this.#put(record, signal);
  }

  async #put(record: LeaseRecord, signal: AbortSignal | undefined): Promise<void> {
    const object = numberedName(this.name, this.#number++);
    this.#all.add(object);
    this.#unclear.add(object);
    const key = { object, kind: this.kind };
    const isNew = await this.objects.writeNew(key, record, { signal, isRandom: true });
    this.#unclear.delete(object);
    if (!isNew) this.state.lose("somebody else has written it");
    this.#before = this.#newest;
    this.#newest = object;
  }

  /** Where the last renewal is older than it should be; always for an `exclusive` one. */
  protected override mustAsk(): boolean {
    return this.kind === "exclusive" || this.state.silenceMs > STORE_TERMS.renewEveryMs;
  }

  /** A renewal may come in between. */
  protected async isThere(): Promise<boolean> {
    for (;;) {
      const object = this.#newest;
      if (await this.storage.stat(object)) return true;
      if (object === this.#newest) return false;
    }
  }

  protected async takeBack(): Promise<void> {
    await this.#removeAll();
  }

  protected override async tidy(): Promise<void> {
    for (const object of this.#all) {
      if (object === this.#newest || object === this.#before) continue;
      await this.storage.remove(object);
      // One that was not answered is removed again with the next renewal, and at the end.
      if (!this.#unclear.has(object)) this.#all.delete(object);
    }
  }

  protected async giveBack(): Promise<void> {
    if (await this.#removeAll()) {
      if (this.#unclear.size === 0) return forgetLease(this.name);
    } else {
      this.place.logger.warn(
        "a lease could not be removed; it is tried again, and others wait for it until it has grown old",
        { lease: this.name },
      );
    }
    const attempt = async () => {
      const isGone = await this.#removeAll();
      if (isGone) this.#unclear.clear();
      return isGone;
    };
    this.removeLater(attempt, this.#unclear.size > 0 ? LATE_MS : FIRST_PAUSE_MS, REMOVAL);
  }

  /** What was not answered stays known: the store may still carry it out. */
  async #removeAll(): Promise<boolean> {
    const removals = [...this.#all].map(async (object) => {
      await this.storage.remove(object);
      if (!this.#unclear.has(object)) this.#all.delete(object);
    });
    const results = await Promise.allSettled(removals);
    return results.every(({ status }) => status === "fulfilled");
  }
}
