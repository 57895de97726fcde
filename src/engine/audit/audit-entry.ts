import { randomBytes } from "node:crypto";
import { Fields } from "../../fs/fields.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import type { DocumentKind } from "../documents.ts";
import { AUDIT, FORMAT } from "../format/names.ts";

export const AUDIT_HEAD = "audit/head.json";

const NUMBERED = /^audit\/(\d{10})\.json$/;
const DIGITS = 10;

/** What somebody did. */
export type AuditOperation =
  | "backup"
  | "restore"
  | "open"
  | "verify"
  | "quarantine"
  | "prune"
  | "delete"
  | "copy-to"
  | "copy-from"
  | "scrub"
  | "pin"
  | "unpin"
  | "tag"
  | "unlock"
  | "key-add"
  | "key-remove"
  | "key-rotate"
  | "forget";

/** Who did it. */
export interface AuditActor {
  /** Of the operating system; `uid 1000` where it has no name. */
  readonly user: string;
  readonly host: string;
  /** What the repository was opened with as `actor`: a person, a token's name, a job. */
  readonly name?: string | undefined;
}

/** What is recorded of an operation that has ended. */
export interface AuditAction {
  readonly operation: AuditOperation;
  readonly outcome: "success" | "failure" | "aborted";
  /** When it had ended, by the clock of who did it. */
  readonly at: Date;
  readonly durationMs: number;
  readonly actor: AuditActor;
  /** In short what: `snapshot`, `sources`, `targets` without passwords, counts; of a failure `error`, its code. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** An entry of a repository's audit log. */
export interface AuditEntry extends Omit<AuditAction, "operation"> {
  /** One of `AuditOperation`, or what a newer version calls its own. */
  readonly operation: string;
  /** From 1, without gaps. */
  readonly number: number;
  /** What it was recorded with. */
  readonly software: Readonly<Record<string, unknown>>;
  /** Of its content, in hexadecimal. */
  readonly sha256: string;
  /** The `sha256` of the entry before; null in the first one, and where the one before could not be read. */
  readonly previous: string | null;
}

/** An entry by which others are known. */
export type AuditPoint = Pick<AuditEntry, "number" | "sha256">;

export function entryName(number: number): string {
  return `${AUDIT}${digitsOf(number)}.json`;
}

/** The number in an entry's name; undefined for any other name. */
export function parseEntryName(name: string): number | undefined {
  const digits = NUMBERED.exec(name)?.[1];
  return digits === undefined || Number(digits) === 0 ? undefined : Number(digits);
}

/** A record as it is written: in one line. */
export interface EncodedRecord {
  readonly line: Buffer;
  /** By which the next entry knows it. */
  readonly sha256: string;
}

/** Entries by their numbers. */
export const ENTRY_DOCUMENTS: DocumentKind<number, AuditEntry, EncodedRecord> = {
  prefix: AUDIT,
  nameOf: entryName,
  keyOf: parseEntryName,
  sealedAs: (number) => `audit-${digitsOf(number)}`,
  encode: ({ line }) => line,
  decode: decodeEntry,
};

/** There is one at most. */
export const HEAD = "audit-head";
export const HEAD_DOCUMENT: DocumentKind<typeof HEAD, AuditPoint> = {
  prefix: AUDIT,
  nameOf: () => AUDIT_HEAD,
  keyOf: (name) => (name === AUDIT_HEAD ? HEAD : undefined),
  sealedAs: () => HEAD,
  encode: ({ number, sha256 }) => encodeLine({ number, sha256 }).line,
  decode(bytes, _key, place) {
    const fields = new Fields(decodeLine(bytes, place).body, place, "head");
    return { number: fields.count("number"), sha256: fields.digest("sha256") };
  },
};

export function encodeEntry(
  point: { readonly number: number; readonly previous: string | null },
  { at, durationMs, operation, outcome, actor, details }: AuditAction,
  software: AuditEntry["software"],
): EncodedRecord {
  const { number, previous } = point;
  const { user, host, name } = actor;
  const who = { user, host, ...(name !== undefined && { name }) };
  const body = {
    // Two equal entries could not be told apart after a request that may have been heard.
    ...{ number, previous, id: randomBytes(8).toString("hex") },
    ...{ at: at.toISOString(), durationMs, operation, outcome },
    ...{ actor: who, software, details },
  };
  return encodeLine(body);
}

function decodeEntry(bytes: Buffer, _number: number, place: string): AuditEntry {
  const { body, sha256 } = decodeLine(bytes, place);
  const fields = new Fields(body, place, "entry");
  const actor = fields.object("actor");
  const previous = body["previous"] === null ? null : fields.digest("previous");
  return {
    number: fields.count("number"),
    at: fields.date("at"),
    operation: fields.text("operation"),
    outcome: fields.oneOf("outcome", ["success", "failure", "aborted"]),
    durationMs: fields.count("durationMs"),
    actor: { user: actor.text("user"), host: actor.text("host"), name: actor.optionalText("name") },
    software: fields.record("software"),
    details: fields.record("details"),
    ...{ sha256, previous },
  };
}

function decodeLine(
  bytes: Buffer,
  place: string,
): { readonly body: Record<string, unknown>; readonly sha256: string } {
  const body = decodeRecord(bytes, place, FORMAT);
  const { sha256 } = JSON.parse(bytes.toString("utf8")) as { sha256: string };
  return { body, sha256 };
}

function encodeLine(body: object): EncodedRecord {
  const record = JSON.parse(encodeRecord(body, FORMAT).toString("utf8")) as { sha256: string };
  return { line: Buffer.from(`${JSON.stringify(record)}\n`), sha256: record.sha256 };
}

function digitsOf(number: number): string {
  return String(number).padStart(DIGITS, "0");
}
