import { randomUUID } from "node:crypto";
import { CorruptError, ValidationError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import type { DocumentKind } from "../documents.ts";
import { assertLabel, FORMAT, LABELS, labelsName, parseLabelsName } from "../format/names.ts";
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

type LabelsKey = Pick<LabelsRecord, "snapshot" | "number">;

/** Records of labels, each under a number of its own. */
export const LABEL_DOCUMENTS: DocumentKind<LabelsKey, LabelsRecord, Labels> = {
  prefix: LABELS,
  nameOf: ({ snapshot, number }) => labelsName(snapshot, number),
  keyOf: parseLabelsName,
  sealedAs: ({ snapshot, number }) => labelsName(snapshot, number).replace(/\.json$/, ""),
  encode: encodeLabels,
  decode: decodeLabels,
};

/** Each time another one, also of the same labels. */
function encodeLabels({ tags, pinned }: Labels, { snapshot, number }: LabelsKey): Buffer {
  const body = {
    ...{ snapshot, number, changedAt: new Date().toISOString(), revision: randomUUID(), tags },
    ...(pinned && {
      pinned: {
        since: pinned.since.toISOString(),
        ...(pinned.reason !== undefined && { reason: pinned.reason }),
      },
    }),
  };
  return encodeRecord(body, FORMAT);
}

function decodeLabels(bytes: Buffer, wanted: LabelsKey, place: string): LabelsRecord {
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
