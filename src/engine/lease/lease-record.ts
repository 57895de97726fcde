import { CorruptError, UnsupportedError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import { isProcessIdentity, type Liveness, type ProcessIdentity } from "../../fs/this-process.ts";
import type { Storage } from "../../storage/storage.ts";
import { type DocumentKind, Documents } from "../documents.ts";
import { FORMAT, LEASES, type LeaseKind, parseLeaseName } from "../format/names.ts";

/** What a lease says of itself, so that others need not know who made it. Milliseconds. */
interface StatedTerms {
  readonly renewEveryMs: number;
  /** Without a renewal for so long, a holder whose process cannot be seen is dead. */
  readonly deadAfterMs: number;
}

export interface LeaseTerms extends StatedTerms {
  /** Without a renewal for so long, the holder gives itself up: well before others do. */
  readonly lostAfterMs: number;
}

export interface LeaseRecord extends StatedTerms {
  readonly kind: LeaseKind;
  readonly owner: ProcessIdentity;
  readonly since: Date;
  readonly renewedAt: Date;
}

/** A lease as it was found in the storage. */
export interface FoundLease {
  readonly name: string;
  readonly kind: LeaseKind;
  /** Whether it bars others; one of which nothing is known does, until it has grown old. */
  readonly alive: boolean;
  /** What is known of its holder. */
  readonly life: Liveness;
  /** Its holder in words, for messages. */
  readonly holder: string;
  /** Undefined where it cannot be read. */
  readonly since: Date | undefined;
  /** When its holder last wrote it, by the storage's clock. */
  readonly lastSign: Date;
}

/** The longest time that a lease of a holder that cannot be seen bars others. */
export const LONGEST_DEAD_AFTER_MS = 60 * 60 * 1000;

/** A lease's object: what it is called, and whose it is. */
export interface LeaseObject {
  readonly object: string;
  readonly kind: LeaseKind;
}

/** Objects of leases: on a disk one a lease, in a store one a renewal. */
export const LEASE_DOCUMENTS: DocumentKind<LeaseObject, LeaseRecord> = {
  prefix: LEASES,
  nameOf: ({ object }) => object,
  keyOf(object) {
    const kind = parseLeaseName(object)?.kind;
    return kind && { object, kind };
  },
  encode: encodeLease,
  decode: decodeLease,
};

export function encodeLease(lease: LeaseRecord): Buffer {
  const { kind, owner, since, renewedAt, renewEveryMs, deadAfterMs } = lease;
  const [begun, renewed] = [since.toISOString(), renewedAt.toISOString()];
  return encodeRecord({ kind, owner, since: begun, renewedAt: renewed, renewEveryMs, deadAfterMs }, FORMAT);
}

/** @throws CorruptError where it is damaged or says another kind than its name. @throws UnsupportedError */
export function decodeLease(
  bytes: Uint8Array,
  { kind }: Pick<LeaseObject, "kind">,
  place: string,
): LeaseRecord {
  const body = decodeRecord(bytes, place, FORMAT);
  const fields = new Fields(body, place, "lease");
  fields.oneOf("kind", [kind]);
  const { owner } = body;
  if (!isProcessIdentity(owner)) {
    throw new CorruptError(`${place} is damaged: it names no owner.`, { path: place });
  }
  return {
    kind,
    owner,
    since: fields.date("since"),
    renewedAt: fields.date("renewedAt"),
    renewEveryMs: fields.count("renewEveryMs"),
    deadAfterMs: Math.min(fields.count("deadAfterMs"), LONGEST_DEAD_AFTER_MS),
  };
}

/** What an object says; the reason where that cannot be told, undefined where there is none. @throws IoError */
export async function readLease(
  storage: Storage,
  lease: LeaseObject,
  signal: AbortSignal | undefined,
): Promise<LeaseRecord | string | undefined> {
  try {
    return await new Documents(LEASE_DOCUMENTS, storage).find(lease, signal);
  } catch (error) {
    if (error instanceof CorruptError || error instanceof UnsupportedError) return error.message;
    throw error;
  }
}

export function holderInWords(record: LeaseRecord | string): string {
  if (typeof record === "string") return `somebody unknown (${record})`;
  const { owner, since } = record;
  return `process ${owner.pid} on ${owner.host}, since ${since.toISOString()}`;
}

/** Names of this process's leases that have ended, and may be in the storage still. */
const ended = new Set<string>();

/** Has this process take the lease for a dead one's. */
export function endLease(lease: string): void {
  ended.add(lease);
}

/** The lease is known to be out of the storage. */
export function forgetLease(lease: string): void {
  ended.delete(lease);
}

export function hasEnded(lease: string): boolean {
  return ended.has(lease);
}
