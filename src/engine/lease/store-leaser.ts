import { randomUUID } from "node:crypto";
import { LockedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { isSeen, type Liveness, livenessOf } from "../../fs/this-process.ts";
import type { StoredObject } from "../../storage/object-name.ts";
import type { Storage } from "../../storage/storage.ts";
import { LEASES, type LeaseKind, parseLeaseName } from "../format/names.ts";
import type { AcquireOptions, Lease, LeasePlace, Leaser, NewLease } from "./lease.ts";
import {
  type FoundLease,
  hasEnded,
  holderInWords,
  type LeaseRecord,
  LONGEST_DEAD_AFTER_MS,
  readLease,
} from "./lease-record.ts";
import { StoreLease } from "./store-lease.ts";
import { acquireLease, type LeaseWay } from "./waiting.ts";

/** Others are only looked at for so long; then a new lease tells the store's time anew. */
const LOOK_MS = 15_000;
const MOST_LISTINGS = 5;
const CLOCK = /^leases\/clock-[0-9a-f-]{36}\.json$/;

/** A lease's objects in one listing. */
interface Listed {
  readonly name: string;
  readonly kind: LeaseKind;
  readonly newest: StoredObject;
  readonly number: number;
}

/**
 * Leases as objects in a store, their age told by its clock alone. A shared one that nobody is in the way of costs three
 * requests: PUT, LIST, DELETE.
 */
export class StoreLeaser implements Leaser, LeaseWay {
  readonly looksFirst = false;
  readonly longestLookMs = LOOK_MS;
  readonly #place: LeasePlace & { readonly storage: Storage };

  constructor(place: LeasePlace & { readonly storage: Storage }) {
    this.#place = place;
  }

  acquire(kind: LeaseKind, options: AcquireOptions = {}): Promise<Lease> {
    return acquireLease(this, this.#place, kind, options);
  }

  newLease(kind: LeaseKind): StoreLease {
    return new StoreLease(this.#place, kind);
  }

  lookFrom(own: NewLease | undefined, signal: AbortSignal | undefined) {
    // What is older than this is older by more now: it makes others look too young, never too old.
    let storeNow = 0;
    return async (held: LeaseKind) => {
      const objects = await this.#objects(signal);
      const mine = objects.filter(({ name }) => parseLeaseName(name)?.lease === own?.name);
      storeNow = Math.max(storeNow, ...mine.map(({ modified }) => modified.getTime()));
      const others = groupsOf(objects).filter(({ name, kind }) => kind === held && name !== own?.name);
      const alive = (await this.#judgeAll(others, storeNow, signal)).filter((lease) => lease.alive);
      if (own && storeNow === 0) throw notListed(this.#place.location, own.name);
      return alive;
    };
  }

  async list(signal?: AbortSignal): Promise<FoundLease[]> {
    const groups = groupsOf(await this.#objects(signal));
    const first = await this.#judgeAll(groups, 0, signal);
    if (first.every(({ life }) => life !== "unknown")) return first;
    const storeNow = await this.#storeTime(signal);
    return this.#judgeAll(groupsOf(await this.#objects(signal)), storeNow, signal);
  }

  async remove(name: string): Promise<void> {
    for (const object of await this.#objects()) {
      if (parseLeaseName(object.name)?.lease === name) await this.#place.storage.remove(object.name);
    }
  }

  async #objects(signal?: AbortSignal): Promise<StoredObject[]> {
    const objects: StoredObject[] = [];
    for await (const object of this.#place.storage.list(LEASES)) {
      signal?.throwIfAborted();
      objects.push(object);
    }
    return objects;
  }

  /** The store's time, by an object made just now. 0, which makes nobody old, where nothing can be written. */
  async #storeTime(signal: AbortSignal | undefined): Promise<number> {
    const { storage, logger } = this.#place;
    const name = `${LEASES}clock-${randomUUID()}.json`;
    try {
      await storage.writeNew(name, Buffer.from("{}\n"), { signal });
      const now = (await storage.stat(name))?.modified.getTime() ?? 0;
      for (const object of await this.#objects(signal)) {
        const isLeft = CLOCK.test(object.name) && now - object.modified.getTime() > LONGEST_DEAD_AFTER_MS;
        if (object.name === name || isLeft) await storage.remove(object.name);
      }
      return now;
    } catch (error) {
      signal?.throwIfAborted();
      logger.debug("the store's time is not known: nothing can be written", { reason: reasonOf(error) });
      return 0;
    }
  }

  /** @param storeNow the store's time, or an earlier one; 0 where it is not known. */
  async #judgeAll(
    listed: readonly Listed[],
    storeNow: number,
    signal: AbortSignal | undefined,
  ): Promise<FoundLease[]> {
    const judged: FoundLease[] = [];
    for (const one of listed) {
      const found = await this.#judge(one, storeNow, signal);
      if (found) judged.push(found);
    }
    return judged;
  }

  /** Undefined where it is gone by now. */
  async #judge(
    listed: Listed,
    storeNow: number,
    signal: AbortSignal | undefined,
  ): Promise<FoundLease | undefined> {
    const { name, kind } = listed;
    let current: Listed | undefined = listed;
    for (let listings = 0; current; listings++) {
      const { newest } = current;
      const record = await readLease(this.#place.storage, { object: newest.name, kind }, signal);
      if (record !== undefined || listings === MOST_LISTINGS) {
        const life = hasEnded(name)
          ? "dead"
          : lifeOf(record, storeNow - newest.modified.getTime(), storeNow > 0);
        const readable = typeof record === "object" ? record : undefined;
        const found = { name, kind, life, alive: life !== "dead", lastSign: newest.modified };
        return { ...found, since: readable?.since, holder: holderInWords(record ?? "it changes too fast") };
      }
      // Given back, or renewed twice: only a new listing tells.
      current = groupsOf(await this.#objects(signal)).find((one) => one.name === name);
    }
    return undefined;
  }
}

/** Leases by their newest objects. */
function groupsOf(objects: readonly StoredObject[]): Listed[] {
  const groups = new Map<string, Listed>();
  for (const newest of objects) {
    const parsed = parseLeaseName(newest.name);
    if (!parsed) continue;
    const { lease: name, kind, number } = parsed;
    if ((groups.get(name)?.number ?? -1) < number) groups.set(name, { name, kind, newest, number });
  }
  return [...groups.values()];
}

/** What is seen counts, and then age alone: on two machines of one name another boot says nothing. */
function lifeOf(record: LeaseRecord | string | undefined, ageMs: number, isTimeKnown: boolean): Liveness {
  const readable = typeof record === "object" ? record : undefined;
  if (readable) {
    const seen = livenessOf(readable.owner);
    if (isSeen(readable.owner, seen)) return seen;
  }
  if (!isTimeKnown) return "unknown";
  if (ageMs > (readable?.deadAfterMs ?? LONGEST_DEAD_AFTER_MS)) return "dead";
  return readable && ageMs <= 2 * readable.renewEveryMs ? "alive" : "unknown";
}

function notListed(location: string, name: string): LockedError {
  return new LockedError(
    `Could not get a lease on the repository ${location}: ${name} was written, but is not in the store's listing. Somebody removed it, or the store's listings are delayed.`,
  );
}
