import { createHash, randomUUID } from "node:crypto";
import { ValidationError } from "../../errors.ts";

/** The number of the format that this version writes and reads (docs/formats.md, *Repository*). */
export const FORMAT = 2;

/** What the objects of a repository are called. */
export const REPOSITORY = "repository.json";
export const BLOBS = "blobs/";
export const SNAPSHOTS = "snapshots/";
export const LEASES = "leases/";
export const MARKS = "marks/";
export const KEYS = "keys/";
export const LABELS = "labels/";
export const AUDIT = "audit/";
export const VERIFY = "verify/";
export const ROLLING = `${VERIFY}rolling.json`;

/** What is called so, in a local directory, is a file or a directory of a run that was to get another name. */
export const UNFINISHED = /^\..+\.(tmp|claim)$/;

const BLOB = /^blobs\/([0-9a-f]{2})\/([0-9a-f]{64})$/;
const SNAPSHOT = /^snapshots\/([0-9]{8}T[0-9]{6}Z-[0-9a-f]{8})\.json$/;
const LEASE =
  /^(leases\/(shared|exclusive|run-[0-9a-f]{16})-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:\.([0-9]{8}))?\.json$/;
const MARK = /^marks\/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.json$/;
const LABELS_RECORD = /^labels\/([0-9]{8}T[0-9]{6}Z-[0-9a-f]{8})\.([0-9]{8})\.json$/;
const SNAPSHOT_ID = /^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$/;

export function blobName(sha256: string): string {
  return `${BLOBS}${sha256.slice(0, 2)}/${sha256}`;
}

/** The digest that a blob's name holds; undefined for any other name. */
export function parseBlobName(name: string): string | undefined {
  const [, directory, digest] = BLOB.exec(name) ?? [];
  return digest?.startsWith(directory ?? "-") ? digest : undefined;
}

export function snapshotName(id: string): string {
  return `${SNAPSHOTS}${id}.json`;
}

/** The id that a document's name holds; undefined for any other name. */
export function parseSnapshotName(name: string): string | undefined {
  return SNAPSHOT.exec(name)?.[1];
}

/**
 * `shared`: a backup, of which there may be many. `exclusive`: blobs are being removed, and nobody else is there. `run-…`: a policy
 * runs; it bars runs of the same policy, and nothing else.
 */
export type LeaseKind = "shared" | "exclusive" | `run-${string}`;

/** A policy of one machine or of several, as its runs bar one another. */
export interface PolicyRuns {
  readonly policy: string;
  /** What tells its sources: another policy of the same name, with other sources, is another policy. Sorted. */
  readonly sources: readonly string[];
}

/** Of a lease for runs of a policy: what tells it from other policies, and is of the same length for all. */
export function runLeaseKind({ policy, sources }: PolicyRuns): LeaseKind {
  const text = JSON.stringify([policy, ...sources]);
  return `run-${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
}

/** Whether it is of a policy's run: then nothing of the repository is being made or removed by it. */
export function isRunLease(kind: LeaseKind): boolean {
  return kind.startsWith("run-");
}

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
  const [, stem, kind, number = "0"] = LEASE.exec(object) ?? [];
  if (stem === undefined) return undefined;
  return { lease: `${stem}.json`, kind: kind as LeaseKind, number: Number(number) };
}

/** Of a mark: blobs that no snapshot named when a prune looked. */
export function newMarkName(): string {
  return `${MARKS}${randomUUID()}.json`;
}

export function isMarkName(name: string): boolean {
  return MARK.test(name);
}

/** Of the record of what was said of a snapshot later. @param number from 1 */
export function labelsName(id: string, number: number): string {
  return `${LABELS}${id}.${String(number).padStart(8, "0")}.json`;
}

/** What the name of such a record says; undefined for any other name. */
export function parseLabelsName(
  name: string,
): { readonly snapshot: string; readonly number: number } | undefined {
  const [, snapshot, number] = LABELS_RECORD.exec(name) ?? [];
  return snapshot === undefined ? undefined : { snapshot, number: Number(number) };
}

/** What the ids of snapshots of several sources have in place of digits of the source. */
const SEVERAL = "0000";
/** `20261105T123456Z-`. */
const TIME_LETTERS = 17;

type Sourced = readonly { readonly source: { readonly id: string } }[];

/**
 * Sorts by time: `20261105T123456Z-1a2b3c4d`, UTC. The first four of the digits are of the source's id.
 *
 * @param random four hexadecimal digits or more.
 */
export function newSnapshotId(at: Date, parts: Sourced, random: string): string {
  const seconds = at.toISOString().replace(/[-:]|\.\d+/g, "");
  return `${seconds}-${tagOf(parts)}${random.slice(0, 4)}`;
}

function tagOf(parts: Sourced): string {
  const [only] = parts;
  return only && parts.length === 1 ? sourceTag(only.source.id) : SEVERAL;
}

function sourceTag(sourceId: string): string {
  return createHash("sha256").update(sourceId).digest("hex").slice(0, 4);
}

/** Whether a snapshot of this id can be of a source. */
export function mayBeOf(id: string, sourceId: string): boolean {
  const tag = id.slice(TIME_LETTERS, TIME_LETTERS + 4);
  return tag === SEVERAL || tag === sourceTag(sourceId);
}

/** Whether a snapshot of these sources can have this id. */
export function fitsSources(id: string, parts: Sourced): boolean {
  return id.slice(TIME_LETTERS, TIME_LETTERS + 4) === tagOf(parts);
}

export function isSnapshotId(value: string): boolean {
  return SNAPSHOT_ID.test(value);
}

const LABEL = /^[A-Za-z0-9][A-Za-z0-9_.:+@-]{0,99}$/;

/**
 * Names and tags of snapshots, and ids that people give to databases: up to 100 ASCII letters, digits and `_ . : + @ -`, beginning with a letter or digit.
 *
 * @throws ValidationError
 */
export function assertLabel(value: unknown, what: "name" | "tag" | "source id"): asserts value is string {
  if (typeof value !== "string") throw new TypeError(`A ${what} must be a string.`);
  if (!LABEL.test(value)) {
    throw new ValidationError(
      `${JSON.stringify(value)} is not a ${what}: 1 to 100 letters, digits and _ . : + @ -, beginning with a letter or digit.`,
    );
  }
  if (what === "name" && (value === "latest" || isSnapshotId(value))) {
    throw new ValidationError(`A snapshot cannot be named ${value}: that word has a meaning of its own.`);
  }
}
