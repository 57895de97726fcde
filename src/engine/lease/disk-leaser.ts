import { isNotFound } from "../../errors.ts";
import { livenessBySign } from "../../fs/sign-of-life.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import type { StoredObject } from "../../storage/object-name.ts";
import type { Storage } from "../../storage/storage.ts";
import { LEASES, type LeaseKind, newLeaseName, parseLeaseName } from "../format/names.ts";
import { readSmall } from "../read-small.ts";
import { DiskLease } from "./disk-lease.ts";
import type { AcquireOptions, Lease, LeasePlace, Leaser } from "./lease.ts";
import {
  type FoundLease,
  hasEnded,
  holderInWords,
  LONGEST_DEAD_AFTER_MS,
  tryDecodeLease,
} from "./lease-record.ts";
import { Waiting } from "./waiting.ts";

/** Leases as files. Signs of life tell more than clocks, which may be wrong. */
export class DiskLeaser implements Leaser {
  readonly #place: LeasePlace & { readonly storage: Storage };
  readonly #local: LocalFiles;

  constructor(place: LeasePlace & { readonly storage: Storage }, local: LocalFiles) {
    this.#place = place;
    this.#local = local;
  }

  async acquire(kind: LeaseKind, options: AcquireOptions = {}): Promise<Lease> {
    const { signal, timeoutMs = 60_000 } = options;
    const waiting = new Waiting(this.#place, kind, timeoutMs, signal);
    const holders = async (held: LeaseKind, mine?: string) =>
      (await this.list(signal)).filter((lease) => lease.alive && lease.kind === held && lease.name !== mine);
    for (let turn = 0; ; turn++) {
      // Who waits for an exclusive lease makes none meanwhile, which its holder would wait for.
      await waiting.untilNone(() => holders("exclusive"));
      const lease = new DiskLease(this.#place, this.#local, kind, newLeaseName(kind));
      await lease.create(signal);
      try {
        const rivals = await holders("exclusive", lease.name);
        if (rivals.length === 0) {
          if (kind === "exclusive") await waiting.untilNone(() => holders("shared"));
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
    try {
      const record = tryDecodeLease(await readSmall(storage, name, signal), kind, name);
      const readable = typeof record === "string" ? undefined : record;
      const seen = readable ? await livenessBySign(readable.owner, this.#local.pathOf(name)) : "unknown";
      const sign = Math.max(readable?.renewedAt.getTime() ?? 0, modified.getTime());
      const isOld = clock.now() - sign > (readable?.deadAfterMs ?? LONGEST_DEAD_AFTER_MS);
      const life = hasEnded(name) || (seen === "unknown" && isOld) ? "dead" : seen;
      const found = { name, kind, life, alive: life !== "dead", lastSign: modified };
      return { ...found, since: readable?.since, holder: holderInWords(record) };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}
