import { isFull, reasonOf } from "../../fs/io.ts";
import { giveSigns } from "../../fs/sign-of-life.ts";
import { thisProcess } from "../../fs/this-process.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import type { Storage } from "../../storage/storage.ts";
import { type LeaseKind, REPOSITORY } from "../format/names.ts";
import { type LeasePlace, LeaseState, type NewLease } from "./lease.ts";
import { encodeLease, endLease, forgetLease, type LeaseTerms } from "./lease-record.ts";

/** An hour, for holders that can show no signs of life; half of it, so that whoever could not renew has long given up. */
const TERMS: LeaseTerms = { renewEveryMs: 15_000, lostAfterMs: 30 * 60_000, deadAfterMs: 60 * 60_000 };

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/**
 * A lease as a file, renewed every 15 seconds. It is lost where its file was removed by somebody, or where it was not
 * renewed for half an hour: the machine slept, the process was stopped, or the storage could not be reached.
 */
export class DiskLease implements NewLease {
  readonly kind: LeaseKind;
  readonly name: string;
  readonly #place: LeasePlace;
  readonly #storage: Storage;
  readonly #local: LocalFiles;
  readonly #state: LeaseState;
  readonly #ending = new AbortController();
  #beating: Promise<void> | undefined;
  #stopTimer: () => void = () => undefined;

  /** Its file is not there before `create`. */
  constructor(
    place: LeasePlace & { readonly storage: Storage },
    local: LocalFiles,
    kind: LeaseKind,
    name: string,
  ) {
    this.#place = place;
    this.#storage = place.storage;
    this.#local = local;
    this.kind = kind;
    this.name = name;
    this.#state = new LeaseState(place, name, TERMS, () => this.#stopTimer());
  }

  /** Writes the file; where that fails, none stays if it can be helped. */
  async create(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#write(signal);
    } catch (error) {
      await this.release();
      throw error;
    }
    const stopSigns = giveSigns(this.#local.pathOf(this.name), JSON.stringify(thisProcess.host));
    const stopTimer = this.#place.clock.every(TERMS.renewEveryMs, () => this.#beat());
    this.#stopTimer = () => {
      stopSigns();
      stopTimer();
    };
  }

  /**
   * On a full disk there is room for a name still, and a lease without content counts like one with: so a prune, which
   * makes room, can have its lease.
   */
  async #write(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#storage.writeNew(this.name, this.#record(this.#state.since), { signal });
    } catch (error) {
      if (this.kind !== "exclusive" || !isFull(error)) throw error;
      await this.#storage.writeNew(this.name, Buffer.alloc(0), { signal });
    }
  }

  get isHeld(): boolean {
    return this.#state.whyLost() === undefined;
  }

  /** Looks for the file, too. */
  async assertHeld(): Promise<void> {
    if (this.isHeld && !(await this.#storage.stat(this.name))) this.#state.lose("somebody removed it");
    this.#state.assertHeld();
  }

  /** One that cannot be removed now is removed as soon as that can be. */
  async release(): Promise<void> {
    this.#stopTimer();
    this.#state.end();
    this.#ending.abort();
    await this.#beating;
    endLease(this.name);
    let reason = "its repository is away";
    try {
      if (await this.#remove()) return;
    } catch (error) {
      reason = reasonOf(error);
    }
    this.#place.logger.warn(
      "a lease could not be removed; it is tried again, and others wait for it until then",
      {
        lease: this.name,
        reason,
      },
    );
    this.#removeLater(FIRST_PAUSE_MS);
  }

  /** False where it may come back: it is not there, and neither is the repository. */
  async #remove(): Promise<boolean> {
    const seen = await this.#storage.stat(this.name).catch(() => undefined); // only tells more of what remove does
    await this.#storage.remove(this.name);
    if (!seen && !(await this.#storage.stat(REPOSITORY))) return false;
    forgetLease(this.name);
    return true;
  }

  #removeLater(pauseMs: number): void {
    const next = () => this.#removeLater(Math.min(pauseMs * 2, LONGEST_PAUSE_MS));
    const again = () => void this.#remove().then((removed) => removed || next(), next);
    setTimeout(again, pauseMs).unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #record(renewedAt: Date): Buffer {
    return encodeLease({
      kind: this.kind,
      owner: thisProcess,
      since: this.#state.since,
      renewedAt,
      ...TERMS,
    });
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
    if (!(await this.#storage.stat(this.name))) return this.#state.lose("somebody removed it");
    // After a long pause in between somebody may have removed it: it must not come back.
    if (!this.isHeld || signal.aborted) return;
    const time = this.#state.time();
    await this.#storage.write(this.name, this.#record(new Date(time.now)), { signal });
    if (this.isHeld) this.#state.renewedAt(time);
    else if (!signal.aborted) await this.#storage.remove(this.name);
  }
}
