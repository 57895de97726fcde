import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { BackupError, CorruptError, IoError } from "../../errors.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import { livenessBySign } from "../../fs/sign-of-life.ts";
import { isProcessIdentity, type Liveness, livenessOf, type ProcessIdentity } from "../../fs/this-process.ts";
import type { Storage, StoredObject } from "../../storage/storage.ts";
import { Fields } from "../format/fields.ts";
import { FORMAT, LEASES } from "../format/names.ts";
import { readSmall } from "../read-small.ts";

/** `shared`: a backup, of which there may be many. `exclusive`: blobs are being removed, and nobody else is there. */
export type LeaseKind = "shared" | "exclusive";

export interface LeaseRecord {
  readonly kind: LeaseKind;
  readonly owner: ProcessIdentity;
  readonly since: Date;
  readonly renewedAt: Date;
}

/** A lease as it was found in the storage. */
export interface FoundLease {
  readonly name: string;
  readonly kind: LeaseKind;
  readonly alive: boolean;
  /** Its holder in words, for messages. */
  readonly holder: string;
}

/** Without a sign for so long, a holder whose process cannot be seen from here is taken for dead. */
const DEAD_MS = 60 * 60 * 1000;

const NAME =
  /^leases\/(shared|exclusive)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.json$/;

export function newLeaseName(kind: LeaseKind): string {
  return `${LEASES}${kind}-${randomUUID()}.json`;
}

function parseLeaseName(name: string): LeaseKind | undefined {
  return NAME.exec(name)?.[1] as LeaseKind | undefined;
}

export function encodeLease(lease: LeaseRecord): Buffer {
  const { kind, owner, since, renewedAt } = lease;
  return encodeRecord(
    { kind, owner, since: since.toISOString(), renewedAt: renewedAt.toISOString() },
    FORMAT,
  );
}

/** @throws CorruptError where it is damaged or says another kind than its name. @throws UnsupportedError */
export function decodeLease(bytes: Uint8Array, kind: LeaseKind, place: string): LeaseRecord {
  const body = decodeRecord(bytes, place, FORMAT);
  const fields = new Fields(body, place, "lease");
  fields.oneOf("kind", [kind]);
  const { owner } = body;
  if (!isProcessIdentity(owner)) {
    throw new CorruptError(`${place} is damaged: it names no owner.`, { path: place });
  }
  return { kind, owner, since: fields.date("since"), renewedAt: fields.date("renewedAt") };
}

/** Names of this process's leases that have ended, and may be in the storage still. */
const ended = new Set<string>();

/** Has this process take the lease for a dead one's. */
export function endLease(name: string): void {
  ended.add(name);
}

/** The lease is known to be out of the storage. */
export function forgetLease(name: string): void {
  ended.delete(name);
}

/**
 * Every lease in the storage.
 *
 * @param now milliseconds since 1970.
 */
export async function findLeases(storage: Storage, now: number, signal?: AbortSignal): Promise<FoundLease[]> {
  const found: FoundLease[] = [];
  for await (const object of storage.list(LEASES)) {
    signal?.throwIfAborted();
    const kind = parseLeaseName(object.name);
    const lease = kind && (await look(storage, object, kind, now, signal));
    if (lease) found.push(lease);
  }
  return found;
}

/** Undefined where it is gone by now. One that cannot be read is taken for live until it has grown old. */
async function look(
  storage: Storage,
  object: StoredObject,
  kind: LeaseKind,
  now: number,
  signal: AbortSignal | undefined,
): Promise<FoundLease | undefined> {
  const { name, modified } = object;
  const isFresh = (sign: number) => now - sign <= DEAD_MS;
  try {
    const { owner, since, renewedAt } = decodeLease(await readSmall(storage, name, signal), kind, name);
    const life = ended.has(name) ? "dead" : await livenessIn(storage, name, owner);
    const alive =
      life === "unknown" ? isFresh(Math.max(renewedAt.getTime(), modified.getTime())) : life === "alive";
    return {
      name,
      kind,
      alive,
      holder: `process ${owner.pid} on ${owner.host}, since ${since.toISOString()}`,
    };
  } catch (error) {
    if (error instanceof IoError && error.errno === "ENOENT") return undefined;
    if (!(error instanceof BackupError) || error instanceof IoError) throw error;
    return { name, kind, alive: isFresh(modified.getTime()), holder: `somebody unknown (${error.message})` };
  }
}

/** On a disk a lease shows signs of life, twice a second; they tell more than clocks, which may be wrong. */
async function livenessIn(storage: Storage, name: string, owner: ProcessIdentity): Promise<Liveness> {
  const { directory } = storage;
  return directory === undefined ? livenessOf(owner) : livenessBySign(owner, join(directory, name));
}
