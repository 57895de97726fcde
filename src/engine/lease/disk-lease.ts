import { isFull, reasonOf } from "../../fs/io.ts";
import { giveSigns } from "../../fs/sign-of-life.ts";
import { thisProcess } from "../../fs/this-process.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import { isRunLease, type LeaseKind, REPOSITORY } from "../format/names.ts";
import { forgetLease, type LeaseRecord, type LeaseTerms } from "./lease-record.ts";
import { RenewedLease, type StoredLeasePlace } from "./renewed-lease.ts";

/** An hour, for holders that can show no signs of life; half of it, so that whoever could not renew has long given up. */
const TERMS: LeaseTerms = { renewEveryMs: 15_000, lostAfterMs: 30 * 60_000, deadAfterMs: 60 * 60_000 };

/**
 * No data depends on that only one runs a policy, and no signs of a killed process are seen from another machine or container: so it
 * bars the next run for minutes alone, as in a store.
 */
const RUN_TERMS: LeaseTerms = { renewEveryMs: 15_000, lostAfterMs: 180_000, deadAfterMs: 600_000 };

/** A power cut ends the holder, too; where it does not, on a disk that was pulled out, the repository is away. */
const mayBeLost = true;

const FIRST_PAUSE_MS = 100;
const REMOVAL = { longestPauseMs: 5000, mostPauses: Number.POSITIVE_INFINITY };

/**
 * A lease as a file, renewed every 15 seconds. It is lost where its file was removed by somebody, or where it was not
 * renewed for half an hour, or three minutes where it is of a policy's run: the machine slept, the process was stopped, or the
 * storage could not be reached.
 */
export class DiskLease extends RenewedLease {
  readonly #local: LocalFiles;

  constructor(place: StoredLeasePlace, local: LocalFiles, kind: LeaseKind) {
    super(place, kind, isRunLease(kind) ? RUN_TERMS : TERMS);
    this.#local = local;
  }

  get #key(): { object: string; kind: LeaseKind } {
    return { object: this.name, kind: this.kind };
  }

  /**
   * On a full disk there is room for a name still, and a lease without content counts like one with: so a prune, which
   * makes room, can have its lease.
   */
  protected async make(record: LeaseRecord, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.objects.writeNew(this.#key, record, { signal, mayBeLost });
    } catch (error) {
      if (this.kind === "shared" || !isFull(error)) throw error;
      await this.storage.writeNew(this.name, Buffer.alloc(0), { signal, mayBeLost });
    }
  }

  protected renew(record: LeaseRecord, signal: AbortSignal): Promise<void> {
    return this.objects.write(this.#key, record, { signal, mayBeLost });
  }

  protected async isThere(): Promise<boolean> {
    return (await this.storage.stat(this.name)) !== undefined;
  }

  protected override giveSigns(): () => void {
    return giveSigns(this.#local.pathOf(this.name), JSON.stringify(thisProcess.host));
  }

  protected takeBack(): Promise<void> {
    return this.storage.remove(this.name);
  }

  /** One that cannot be removed now is removed as soon as that can be. */
  protected async giveBack(): Promise<void> {
    let reason = "its repository is away";
    try {
      if (await this.#remove()) return;
    } catch (error) {
      reason = reasonOf(error);
    }
    this.place.logger.warn(
      "a lease could not be removed; it is tried again, and others wait for it until then",
      { lease: this.name, reason },
    );
    this.removeLater(() => this.#remove(), FIRST_PAUSE_MS, REMOVAL);
  }

  /** False where it may come back: it is not there, and neither is the repository. */
  async #remove(): Promise<boolean> {
    const seen = await this.storage.stat(this.name).catch(() => undefined); // only tells more of what remove does
    await this.storage.remove(this.name, { mayBeLost });
    if (!seen && !(await this.storage.stat(REPOSITORY))) return false;
    forgetLease(this.name);
    return true;
  }
}
