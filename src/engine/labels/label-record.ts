import { randomUUID } from "node:crypto";
import { CorruptError, ValidationError } from "../../errors.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import { Fields } from "../format/fields.ts";
import { assertLabel, FORMAT, labelsName } from "../format/names.ts";
import type { Pin, StoredSnapshot } from "../snapshot.ts";

/** What was said of a snapshot after it was taken. */
export interface Labels {
  /** All that it has, in place of those in its document. */
  readonly tags: readonly string[];
  readonly pinned?: Pin | undefined;
}

/** A record of them (docs/formats.md, *Labels*). The one with the highest number holds. */
export interface LabelsRecord extends Labels {
  readonly snapshot: string;
  /** From 1. */
  readonly number: number;
}

/** Characters. */
export const LONGEST_REASON = 1000;

/** Of the record as an object: by this it is sealed, where the repository is encrypted. */
function sealedAs({ snapshot, number }: Pick<LabelsRecord, "snapshot" | "number">): string {
  return labelsName(snapshot, number).replace(/\.json$/, "");
}

export function encodeLabels(record: LabelsRecord, changedAt: Date, documents: DocumentCodec): Buffer {
  const { snapshot, number, tags, pinned } = record;
  const body = {
    ...{ snapshot, number, changedAt: changedAt.toISOString(), revision: randomUUID(), tags },
    ...(pinned && {
      pinned: {
        since: pinned.since.toISOString(),
        ...(pinned.reason !== undefined && { reason: pinned.reason }),
      },
    }),
  };
  return documents.seal(encodeRecord(body, FORMAT), sealedAs(record));
}

/** The same record by the newest key. @throws CorruptError, UnsupportedError */
export async function resealLabels(
  object: Buffer,
  record: Pick<LabelsRecord, "snapshot" | "number">,
  place: string,
  documents: DocumentCodec,
): Promise<Buffer> {
  return documents.seal(await documents.open(object, sealedAs(record), place), sealedAs(record));
}

/** @param place for messages. @throws CorruptError, UnsupportedError */
export async function decodeLabels(
  object: Buffer,
  wanted: Pick<LabelsRecord, "snapshot" | "number">,
  place: string,
  documents: DocumentCodec,
): Promise<LabelsRecord> {
  const bytes = await documents.open(object, sealedAs(wanted), place);
  const fields = new Fields(decodeRecord(bytes, place, FORMAT), place, "labels");
  const [snapshot, number] = [fields.text("snapshot"), fields.count("number")];
  if (snapshot !== wanted.snapshot || number !== wanted.number) {
    throw new CorruptError(`${place} is damaged: it is of another snapshot, or of another number.`, {
      path: place,
    });
  }
  fields.date("changedAt");
  fields.text("revision");
  const pinned = fields.optionalObject("pinned");
  const reason = pinned?.optionalText("reason");
  const tags = fields.texts("tags");
  try {
    assertTags(tags);
    assertReason(reason);
  } catch (error) {
    throw new CorruptError(`${place} is damaged: what it says is none of a snapshot's.`, {
      path: place,
      cause: error,
    });
  }
  const pin = pinned && { since: pinned.date("since"), ...(reason !== undefined && { reason }) };
  return { snapshot, number, tags, ...(pin && { pinned: pin }) };
}

/** @throws ValidationError, TypeError */
export function assertTags(tags: unknown): asserts tags is readonly string[] {
  if (!Array.isArray(tags)) throw new TypeError("Tags must be an array of strings.");
  for (const tag of tags) assertLabel(tag, "tag");
  const twice = tags.find((tag, index) => tags.indexOf(tag) !== index);
  if (twice !== undefined) throw new ValidationError(`The tag ${twice} is named twice.`);
}

/** @throws ValidationError, TypeError */
export function assertReason(reason: unknown): asserts reason is string | undefined {
  if (reason === undefined) return;
  if (typeof reason !== "string") throw new TypeError("reason must be a string.");
  if (reason === "" || reason.length > LONGEST_REASON) {
    throw new ValidationError(`reason must have 1 to ${LONGEST_REASON} characters, not ${reason.length}.`);
  }
}

/** The snapshot with what was said of it later. */
export function withLabels<S extends Pick<StoredSnapshot, "tags">>(
  snapshot: S,
  labels: Labels | undefined,
): S & Pick<StoredSnapshot, "tags" | "pinned"> {
  if (!labels) return snapshot;
  return { ...snapshot, tags: labels.tags, ...(labels.pinned && { pinned: labels.pinned }) };
}
