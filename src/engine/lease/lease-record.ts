import { randomUUID } from "node:crypto";
import { BackupError, CorruptError } from "../../errors.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import { isProcessIdentity, type Liveness, type ProcessIdentity } from "../../fs/this-process.ts";
import { Fields } from "../format/fields.ts";
import { FORMAT, LEASES } from "../format/names.ts";

/** `shared`: a backup, of which there may be many. `exclusive`: blobs are being removed, and nobody else is there. */
export type LeaseKind = "shared" | "exclusive";

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

const NAME =
  /^(leases\/(shared|exclusive)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:\.([0-9]{8}))?\.json$/;

/** Of a lease: on a disk also of its file. */
export function newLeaseName(kind: LeaseKind): string {
  return `${LEASES}${kind}-${randomUUID()}.json`;
}

/** The name of a lease's object with a number, in an object store. */
export function numberedName(lease: string, number: number): string {
  return lease.replace(/json$/, `${String(number).padStart(8, "0")}.json`);
}

/** What an object's name says. Undefined for what is no lease. */
export function parseLeaseName(
  object: string,
): { readonly lease: string; readonly kind: LeaseKind; readonly number: number } | undefined {
  const [, stem, kind, number = "0"] = NAME.exec(object) ?? [];
  if (stem === undefined) return undefined;
  return { lease: `${stem}.json`, kind: kind as LeaseKind, number: Number(number) };
}

export function encodeLease(lease: LeaseRecord): Buffer {
  const { kind, owner, since, renewedAt, renewEveryMs, deadAfterMs } = lease;
  const [begun, renewed] = [since.toISOString(), renewedAt.toISOString()];
  return encodeRecord({ kind, owner, since: begun, renewedAt: renewed, renewEveryMs, deadAfterMs }, FORMAT);
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
  return {
    kind,
    owner,
    since: fields.date("since"),
    renewedAt: fields.date("renewedAt"),
    renewEveryMs: fields.count("renewEveryMs"),
    deadAfterMs: Math.min(fields.count("deadAfterMs"), LONGEST_DEAD_AFTER_MS),
  };
}

/** The same; the reason where it cannot be read. */
export function tryDecodeLease(bytes: Uint8Array, kind: LeaseKind, place: string): LeaseRecord | string {
  try {
    return decodeLease(bytes, kind, place);
  } catch (error) {
    if (error instanceof BackupError) return error.message;
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
