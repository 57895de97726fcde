import { reasonOf } from "../../fs/io.ts";
import { thisProcess } from "../../fs/this-process.ts";
import type { Storage } from "../../storage/storage.ts";
import { type LeaseKind, newLeaseName, numberedName } from "../format/names.ts";
import { type LeasePlace, LeaseState, type NewLease } from "./lease.ts";
import { encodeLease, endLease, forgetLease, type LeaseTerms } from "./lease-record.ts";

/**
 * Two renewals may fail. Between `lostAfterMs` and `deadAfterMs` a request that hangs comes to its end (4 tries with 10 s to
 * connect and 60 s of silence), and clocks of the store's servers may differ.
 */
const STORE_TERMS: LeaseTerms = { renewEveryMs: 60_000, lostAfterMs: 180_000, deadAfterMs: 600_000 };

/** In which a store has carried out what it was asked for, and has not answered. */
const LATE_MS = 30_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 60_000;
/** A removal is tried again for so long; then the lease is dead to everybody. */
const MOST_PAUSES = 20;

/**
 * A lease as objects in a store, a new one each minute (docs/formats.md). It is lost where its newest object was removed by
 * somebody, or where it was not renewed for three minutes.
 */
export class StoreLease implements NewLease {
  readonly kind: LeaseKind;
  readonly name: string;
  readonly #place: LeasePlace;
  readonly #storage: Storage;
  readonly #state: LeaseState;
  readonly #ending = new AbortController();
  /** Never used twice: what was not answered may come to be there later. */
  #number = 0;
  /** The newest that was answered for. */
  #newest = "";
  /** All that may be in the store, the newest too. */
  readonly #objects = new Set<string>();
  /** Asked for, and not answered. */
  readonly #unclear = new Set<string>();
  #beating: Promise<void> | undefined;
  #stopTimer: () => void = () => undefined;

  constructor(place: LeasePlace & { readonly storage: Storage }, kind: LeaseKind) {
    this.#place = place;
    this.#storage = place.storage;
    this.kind = kind;
    this.name = newLeaseName(kind);
    this.#state = new LeaseState(place, this.name, STORE_TERMS, () => this.#stopTimer());
  }

  async create(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#put(this.#state.since, signal);
    } catch (error) {
      await this.release();
      throw error;
    }
    this.#stopTimer = this.#place.clock.every(STORE_TERMS.renewEveryMs, () => this.#beat());
  }

  async #put(renewedAt: Date, signal: AbortSignal | undefined): Promise<void> {
    const { kind } = this;
    const { since } = this.#state;
    const object = numberedName(this.name, this.#number++);
    this.#objects.add(object);
    this.#unclear.add(object);
    const record = encodeLease({ kind, owner: thisProcess, since, renewedAt, ...STORE_TERMS });
    const isNew = await this.#storage.writeNew(object, record, { signal, isRandom: true });
    this.#unclear.delete(object);
    if (!isNew) this.#state.lose("somebody else has written it");
    this.#newest = object;
  }

  get isHeld(): boolean {
    return this.#state.whyLost() === undefined;
  }

  /** Asks the store where the last renewal is older than it should be; always for an `exclusive` one. */
  async assertHeld(): Promise<void> {
    const isYoung = this.kind === "shared" && this.#state.silenceMs <= STORE_TERMS.renewEveryMs;
    if (this.isHeld && !isYoung && !(await this.#isThere())) this.#state.lose("somebody removed it");
    this.#state.assertHeld();
  }

  /** A renewal may have come in between. */
  async #isThere(): Promise<boolean> {
    for (;;) {
      const object = this.#newest;
      if (await this.#storage.stat(object)) return true;
      if (object === this.#newest) return false;
    }
  }

  async release(): Promise<void> {
    this.#stopTimer();
    this.#state.end();
    this.#ending.abort();
    await this.#beating;
    endLease(this.name);
    if (await this.#removeAll()) {
      if (this.#unclear.size === 0) return forgetLease(this.name);
    } else {
      this.#place.logger.warn(
        "a lease could not be removed; it is tried again, and others wait for it until it has grown old",
        { lease: this.name },
      );
    }
    this.#removeLater(this.#unclear.size > 0 ? LATE_MS : FIRST_PAUSE_MS, 0);
  }

  /** What was not answered stays known: the store may still carry it out. */
  async #removeAll(): Promise<boolean> {
    const removals = [...this.#objects].map(async (object) => {
      await this.#storage.remove(object);
      if (!this.#unclear.has(object)) this.#objects.delete(object);
    });
    const results = await Promise.allSettled(removals);
    return results.every(({ status }) => status === "fulfilled");
  }

  #removeLater(pauseMs: number, pauses: number): void {
    const again = async () => {
      if (await this.#removeAll()) return this.#unclear.clear();
      if (pauses < MOST_PAUSES) this.#removeLater(Math.min(pauseMs * 2, LONGEST_PAUSE_MS), pauses + 1);
    };
    setTimeout(() => void again(), pauseMs).unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #beat(): void {
    if (this.#beating || !this.isHeld) return;
    this.#beating = this.#renew()
      .catch((error) => {
        if (this.#ending.signal.aborted) return;
        const reason = reasonOf(error);
        this.#place.logger.warn("a lease could not be renewed", { lease: this.name, reason });
      })
      .finally(() => {
        this.#beating = undefined;
      });
  }

  async #renew(): Promise<void> {
    const { signal } = this.#ending;
    const before = this.#newest;
    if (!(await this.#storage.stat(before))) return this.#state.lose("somebody removed it");
    // After a long pause in between others may have taken it for dead: it must not come back.
    if (!this.isHeld || signal.aborted) return;
    const time = this.#state.time();
    await this.#put(new Date(time.now), signal);
    if (signal.aborted) return;
    if (!this.isHeld) return void (await this.#removeAll());
    this.#state.renewedAt(time);
    for (const object of this.#objects) {
      if (object === this.#newest || object === before) continue;
      await this.#storage.remove(object);
      // One that was not answered is removed again with the next renewal, and at the end.
      if (!this.#unclear.has(object)) this.#objects.delete(object);
    }
  }
}
