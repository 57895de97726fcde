import { reasonOf } from "../../fs/io.ts";
import { thisProcess } from "../../fs/this-process.ts";
import type { Storage } from "../../storage/storage.ts";
import { Documents } from "../documents.ts";
import { type LeaseKind, newLeaseName } from "../format/names.ts";
import { type LeasePlace, LeaseState, type NewLease } from "./lease.ts";
import { endLease, LEASE_DOCUMENTS, type LeaseRecord, type LeaseTerms } from "./lease-record.ts";

export type StoredLeasePlace = LeasePlace & { readonly storage: Storage };

/** How a removal that fails is tried again, milliseconds: each pause is twice as long as the one before. */
export interface RemovalTerms {
  readonly longestPauseMs: number;
  /** Then the lease is left to grow old. */
  readonly mostPauses: number;
}

/** What all leases in a storage have in common: they are renewed by a timer until they are given back or lost. */
export abstract class RenewedLease implements NewLease {
  readonly kind: LeaseKind;
  readonly name: string;
  protected readonly place: StoredLeasePlace;
  protected readonly storage: Storage;
  protected readonly state: LeaseState;
  protected readonly objects: Documents<{ object: string; kind: LeaseKind }, LeaseRecord>;
  readonly #terms: LeaseTerms;
  readonly #ending = new AbortController();
  #beating: Promise<void> | undefined;
  #stopTimer: () => void = () => undefined;

  /** Nothing is in the storage before `create`. */
  protected constructor(place: StoredLeasePlace, kind: LeaseKind, terms: LeaseTerms) {
    this.place = place;
    this.storage = place.storage;
    this.kind = kind;
    this.name = newLeaseName(kind);
    this.#terms = terms;
    this.objects = new Documents(LEASE_DOCUMENTS, place.storage);
    this.state = new LeaseState(place, this.name, terms, () => this.#stopTimer());
  }

  async create(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.make(this.#record(this.state.since), signal);
    } catch (error) {
      await this.release();
      throw error;
    }
    const stopSigns = this.giveSigns();
    const stopTimer = this.place.clock.every(this.#terms.renewEveryMs, () => this.#beat());
    this.#stopTimer = () => {
      stopSigns();
      stopTimer();
    };
  }

  get isHeld(): boolean {
    return this.state.whyLost() === undefined;
  }

  async assertHeld(): Promise<void> {
    if (this.isHeld && this.mustAsk() && !(await this.isThere())) this.state.lose(REMOVED);
    this.state.assertHeld();
  }

  async release(): Promise<void> {
    this.#stopTimer();
    this.state.end();
    this.#ending.abort();
    await this.#beating;
    endLease(this.name);
    await this.giveBack();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** Writes what the others see first. */
  protected abstract make(record: LeaseRecord, signal: AbortSignal | undefined): Promise<void>;
  /** Writes it anew. */
  protected abstract renew(record: LeaseRecord, signal: AbortSignal): Promise<void>;
  /** Whether what was written last is in the storage. */
  protected abstract isThere(): Promise<boolean>;
  /** Takes it out of the storage, now or later. Never throws. */
  protected abstract giveBack(): Promise<void>;
  /** Takes away what a renewal has written when the lease was lost meanwhile: it must not come back. */
  protected abstract takeBack(): Promise<void>;
  /** What a renewal has made needless. */
  protected tidy(): Promise<void> {
    return Promise.resolve();
  }
  /** Whether the storage is to be asked whether it is still held. */
  protected mustAsk(): boolean {
    return true;
  }
  /** Signs of life besides renewals. Answers with what ends them. */
  protected giveSigns(): () => void {
    return () => undefined;
  }

  /** @param attempt whether it is gone. */
  protected removeLater(
    attempt: () => Promise<boolean>,
    pauseMs: number,
    terms: RemovalTerms,
    pauses = 0,
  ): void {
    const again = async () => {
      if ((await attempt().catch(() => false)) || pauses >= terms.mostPauses) return;
      this.removeLater(attempt, Math.min(pauseMs * 2, terms.longestPauseMs), terms, pauses + 1);
    };
    setTimeout(() => void again(), pauseMs).unref();
  }

  #record(renewedAt: Date): LeaseRecord {
    const { renewEveryMs, deadAfterMs } = this.#terms;
    const { since } = this.state;
    return { kind: this.kind, owner: thisProcess, since, renewedAt, renewEveryMs, deadAfterMs };
  }

  #beat(): void {
    if (this.#beating || !this.isHeld) return;
    this.#beating = this.#renew()
      .catch((error) => {
        if (this.#ending.signal.aborted) return;
        const reason = reasonOf(error);
        this.place.logger.warn("a lease could not be renewed", { lease: this.name, reason });
      })
      .finally(() => {
        this.#beating = undefined;
      });
  }

  async #renew(): Promise<void> {
    const { signal } = this.#ending;
    if (!(await this.isThere())) return this.state.lose(REMOVED);
    // After a long pause in between others may have taken it for dead: it must not come back.
    if (!this.isHeld || signal.aborted) return;
    const time = this.state.time();
    await this.renew(this.#record(new Date(time.now)), signal);
    if (signal.aborted) return;
    if (!this.isHeld) return this.takeBack();
    this.state.renewedAt(time);
    await this.tidy();
  }
}

const REMOVED = "somebody removed it";
