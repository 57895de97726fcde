import { randomBytes } from "node:crypto";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import { Fields } from "../format/fields.ts";
import { AUDIT, FORMAT } from "../format/names.ts";

export const AUDIT_HEAD = "audit/head.json";
/** The ids that entries and the head are sealed by, in an encrypted repository. */
const HEAD_ID = "audit-head";

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

/** An entry as an object. Answers with its digest, too. */
export function sealEntry(
  documents: DocumentCodec,
  point: { readonly number: number; readonly previous: string | null },
  { at, durationMs, operation, outcome, actor, details }: AuditAction,
  software: AuditEntry["software"],
): { readonly object: Buffer; readonly sha256: string } {
  const { number, previous } = point;
  const { user, host, name } = actor;
  const who = { user, host, ...(name !== undefined && { name }) };
  const body = {
    // Two equal entries could not be told apart after a request that may have been heard.
    ...{ number, previous, id: randomBytes(8).toString("hex") },
    ...{ at: at.toISOString(), durationMs, operation, outcome },
    ...{ actor: who, software, details },
  };
  const line = inOneLine(encodeRecord(body, FORMAT));
  const { sha256 } = JSON.parse(line.toString("utf8")) as { sha256: string };
  return { object: documents.seal(line, idOf(number)), sha256 };
}

/** @throws CorruptError, UnsupportedError */
export async function openEntry(
  documents: DocumentCodec,
  object: Buffer,
  number: number,
  place: string,
): Promise<AuditEntry> {
  const { body, sha256 } = await openRecord(documents, object, idOf(number), place);
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

export function sealHead(documents: DocumentCodec, { number, sha256 }: AuditPoint): Buffer {
  return documents.seal(inOneLine(encodeRecord({ number, sha256 }, FORMAT)), HEAD_ID);
}

/** @throws CorruptError, UnsupportedError */
export async function openHead(documents: DocumentCodec, object: Buffer, place: string): Promise<AuditPoint> {
  const { body } = await openRecord(documents, object, HEAD_ID, place);
  const fields = new Fields(body, place, "head");
  return { number: fields.count("number"), sha256: fields.digest("sha256") };
}

/** What an object below `audit/` holds, to be sealed by another epoch's key. @param name its own, of an entry or the head. */
export function sealIdOf(name: string): string | undefined {
  if (name === AUDIT_HEAD) return HEAD_ID;
  const number = parseEntryName(name);
  return number === undefined ? undefined : idOf(number);
}

async function openRecord(
  documents: DocumentCodec,
  object: Buffer,
  id: string,
  place: string,
): Promise<{ readonly body: Record<string, unknown>; readonly sha256: string }> {
  const bytes = await documents.open(object, id, place);
  const body = decodeRecord(bytes, place, FORMAT);
  const { sha256 } = JSON.parse(bytes.toString("utf8")) as { sha256: string };
  return { body, sha256 };
}

function idOf(number: number): string {
  return `audit-${digitsOf(number)}`;
}

function digitsOf(number: number): string {
  return String(number).padStart(DIGITS, "0");
}

function inOneLine(record: Buffer): Buffer {
  return Buffer.from(`${JSON.stringify(JSON.parse(record.toString("utf8")))}\n`);
}
