import { join } from "node:path";
import { LockedError } from "../../errors.ts";
import { isFull, reasonOf } from "../../fs/io.ts";
import { giveSigns } from "../../fs/sign-of-life.ts";
import { thisProcess } from "../../fs/this-process.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Clock } from "../clock.ts";
import { REPOSITORY } from "../format/names.ts";
import { encodeLease, endLease, forgetLease, type LeaseKind } from "./lease-record.ts";

const RENEW_MS = 15_000;

/** Whoever could not renew for so long has lost it: others may take it for dead after twice the time. */
const LOST_MS = 30 * 60 * 1000;

const FIRST_PAUSE_MS = 100;
/** In which a store has carried out what it was asked for. */
const LATE_MS = 30_000;

const LONGEST_PAUSE_MS = 5000;

/**
 * A lease that is held, and renewed every 15 seconds by a timer that does not keep the process alive. Made by
 * `acquireLease`. It is lost where its object was removed by somebody, or where it was not renewed for half an hour:
 * the machine slept, the process was stopped, or the storage could not be reached. What is lost stays lost.
 */
export class Lease implements AsyncDisposable {
  readonly kind: LeaseKind;
  /** Of the object in the storage. */
  readonly name: string;
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #since: Date;
  readonly #ending = new AbortController();
  #renewed: { readonly now: number; readonly monotonic: number };
  #lost: string | undefined;
  #beating: Promise<void> | undefined;
  #stopTimer: () => void = () => undefined;

  /** @internal Its object is not there before `create`. */
  constructor(place: { storage: Storage; clock: Clock; logger: Logger }, kind: LeaseKind, name: string) {
    this.#storage = place.storage;
    this.#clock = place.clock;
    this.#logger = place.logger;
    this.kind = kind;
    this.name = name;
    this.#renewed = this.#time();
    this.#since = new Date(this.#renewed.now);
  }

  /** @internal Writes the object; where that fails, none stays if it can be helped. */
  async create(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#write(signal);
    } catch (error) {
      await this.release();
      throw error;
    }
    const { directory } = this.#storage;
    const stopSigns =
      directory === undefined
        ? undefined
        : giveSigns(join(directory, this.name), JSON.stringify(thisProcess.host));
    const stopTimer = this.#clock.every(RENEW_MS, () => this.#beat());
    this.#stopTimer = () => {
      stopSigns?.();
      stopTimer();
    };
  }

  /**
   * On a full disk there is room for a name still, and a lease without content counts like one with: so a prune, which
   * makes room, can have its lease.
   */
  async #write(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#storage.writeNew(this.name, this.#record(this.#since), { signal });
    } catch (error) {
      if (this.kind !== "exclusive" || !isFull(error)) throw error;
      await this.#storage.writeNew(this.name, Buffer.alloc(0), { signal });
    }
  }

  /** Whether it is still held, as far as this process knows; the storage is not asked. */
  get isHeld(): boolean {
    return this.#whyLost() === undefined;
  }

  /**
   * Looks into the storage, too.
   *
   * @throws LockedError where the lease was lost or given back. @throws IoError where the storage cannot tell.
   */
  async assertHeld(): Promise<void> {
    if (this.isHeld && !(await this.#storage.stat(this.name))) this.#lose("somebody removed it");
    const why = this.#whyLost();
    if (why === undefined) return;
    throw new LockedError(
      `The ${this.kind} lease ${this.name} on ${this.#storage.location} was lost: ${why}.`,
    );
  }

  /**
   * Gives it back; can be done twice. Never throws: to this process it is gone at once, and one that cannot be removed
   * now is removed as soon as that can be.
   */
  async release(): Promise<void> {
    this.#stopTimer();
    this.#lost ??= "it was given back";
    const isRenewing = this.#beating !== undefined;
    this.#ending.abort();
    await this.#beating;
    endLease(this.name);
    let reason = "its repository is away";
    try {
      if (await this.#remove()) {
        if (isRenewing && !this.#isLocal) this.#removeLater(LATE_MS);
        return;
      }
    } catch (error) {
      reason = reasonOf(error);
    }
    this.#logger.warn("a lease could not be removed; it is tried again, and others wait for it until then", {
      lease: this.name,
      reason,
    });
    this.#removeLater(FIRST_PAUSE_MS);
  }

  /** False where it may come back: it is not there, and neither is the repository. */
  async #remove(): Promise<boolean> {
    const seen = await this.#storage.stat(this.name).catch(() => undefined); // only tells more of what remove does
    await this.#storage.remove(this.name);
    if (!seen && !(await this.#storage.stat(REPOSITORY))) return false;
    if (this.#isLocal) forgetLease(this.name);
    return true;
  }

  /** A store may still carry out a renewal that was given up: the name stays known as ended, and is removed once more. */
  get #isLocal(): boolean {
    return this.#storage.directory !== undefined;
  }

  #removeLater(pauseMs: number): void {
    const next = () => this.#removeLater(Math.min(pauseMs * 2, LONGEST_PAUSE_MS));
    const again = () => void this.#remove().then((removed) => removed || next(), next);
    setTimeout(again, pauseMs).unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #time() {
    return { now: this.#clock.now(), monotonic: this.#clock.monotonic() };
  }

  #record(renewedAt: Date): Buffer {
    return encodeLease({ kind: this.kind, owner: thisProcess, since: this.#since, renewedAt });
  }

  #lose(why: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = why;
    this.#stopTimer();
    this.#logger.warn("a lease was lost", { lease: this.name, reason: why });
  }

  #whyLost(): string | undefined {
    if (this.#lost !== undefined) return this.#lost;
    const time = this.#time();
    // The wall clock runs on while a machine sleeps, the other one when the wall clock is set back.
    const silence = Math.max(time.now - this.#renewed.now, time.monotonic - this.#renewed.monotonic);
    if (silence > LOST_MS) this.#lose(`it was not renewed for ${Math.round(silence / 60_000)} minutes`);
    return this.#lost;
  }

  #beat(): void {
    if (this.#beating || this.#whyLost() !== undefined) return;
    this.#beating = this.#renew()
      .catch((error) => {
        if (this.#ending.signal.aborted) return;
        const reason = reasonOf(error);
        this.#logger.warn("a lease could not be renewed", { lease: this.name, reason });
      })
      .finally(() => {
        this.#beating = undefined;
      });
  }

  async #renew(): Promise<void> {
    const { signal } = this.#ending;
    if (!(await this.#storage.stat(this.name))) return this.#lose("somebody removed it");
    // After a long pause in between somebody may have removed it: it must not come back.
    if (this.#whyLost() !== undefined || signal.aborted) return;
    const time = this.#time();
    await this.#storage.write(this.name, this.#record(new Date(time.now)), { signal });
    if (this.#whyLost() === undefined) this.#renewed = time;
    else if (!signal.aborted) await this.#storage.remove(this.name);
  }
}
