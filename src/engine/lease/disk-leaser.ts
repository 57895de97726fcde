import { livenessBySign } from "../../fs/sign-of-life.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import type { StoredObject } from "../../storage/object-name.ts";
import type { Storage } from "../../storage/storage.ts";
import { LEASES, type LeaseKind, parseLeaseName } from "../format/names.ts";
import { DiskLease } from "./disk-lease.ts";
import type { AcquireOptions, Lease, LeasePlace, Leaser, NewLease } from "./lease.ts";
import {
  type FoundLease,
  hasEnded,
  holderInWords,
  LONGEST_DEAD_AFTER_MS,
  readLease,
} from "./lease-record.ts";
import { acquireLease, type LeaseWay } from "./waiting.ts";

/** Leases as files. Signs of life tell more than clocks, which may be wrong. */
export class DiskLeaser implements Leaser, LeaseWay {
  readonly looksFirst = true;
  readonly longestLookMs = Number.POSITIVE_INFINITY;
  readonly #place: LeasePlace & { readonly storage: Storage };
  readonly #local: LocalFiles;

  constructor(place: LeasePlace & { readonly storage: Storage }, local: LocalFiles) {
    this.#place = place;
    this.#local = local;
  }

  acquire(kind: LeaseKind, options: AcquireOptions = {}): Promise<Lease> {
    return acquireLease(this, this.#place, kind, options);
  }

  newLease(kind: LeaseKind): DiskLease {
    return new DiskLease(this.#place, this.#local, kind);
  }

  lookFrom(own: NewLease | undefined, signal: AbortSignal | undefined) {
    return async (held: LeaseKind) =>
      (await this.list(signal)).filter(
        ({ alive, kind, name }) => alive && kind === held && name !== own?.name,
      );
  }

  async list(signal?: AbortSignal): Promise<FoundLease[]> {
    const found: FoundLease[] = [];
    for await (const object of this.#place.storage.list(LEASES)) {
      signal?.throwIfAborted();
      const lease = await this.#look(object, signal);
      if (lease) found.push(lease);
    }
    return found;
  }

  remove(name: string): Promise<void> {
    return this.#place.storage.remove(name);
  }

  /** Undefined for what is no lease, or is gone by now. One that cannot be read is taken for live until it has grown old. */
  async #look(object: StoredObject, signal: AbortSignal | undefined): Promise<FoundLease | undefined> {
    const { storage, clock } = this.#place;
    const { name, modified } = object;
    const parsed = parseLeaseName(name);
    if (parsed?.lease !== name) return undefined;
    const { kind } = parsed;
    const record = await readLease(storage, { object: name, kind }, signal);
    if (record === undefined) return undefined;
    const readable = typeof record === "string" ? undefined : record;
    const seen = readable ? await livenessBySign(readable.owner, this.#local.pathOf(name)) : "unknown";
    const sign = Math.max(readable?.renewedAt.getTime() ?? 0, modified.getTime());
    const isOld = clock.now() - sign > (readable?.deadAfterMs ?? LONGEST_DEAD_AFTER_MS);
    const life = hasEnded(name) || (seen === "unknown" && isOld) ? "dead" : seen;
    const found = { name, kind, life, alive: life !== "dead", lastSign: modified };
    return { ...found, since: readable?.since, holder: holderInWords(record) };
  }
}
