import { CorruptError, UnsupportedError } from "../../errors.ts";
import { Fields, isDigest } from "../../fs/fields.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { type DocumentKind, Documents } from "../documents.ts";
import { FORMAT, isMarkName, MARKS, newMarkName } from "../format/names.ts";

/** Blobs that no snapshot named when a prune looked. */
export interface Mark {
  /** Of its object. */
  readonly name: string;
  readonly createdAt: Date;
  /** Their digests. */
  readonly blobs: readonly string[];
}

/** So many go on one mark; more go on several. */
const MOST_BLOBS = 50_000;

/** Marks by their names. */
export const MARK_DOCUMENTS: DocumentKind<string, Mark, Omit<Mark, "name">> = {
  prefix: MARKS,
  nameOf: (name) => name,
  keyOf: (name) => (isMarkName(name) ? name : undefined),
  encode: ({ createdAt, blobs }) => encodeRecord({ createdAt: createdAt.toISOString(), blobs }, FORMAT),
  decode(bytes, name, place) {
    const fields = new Fields(decodeRecord(bytes, place, FORMAT), place, "mark");
    const blobs = fields.list("blobs");
    if (!blobs.every(isDigest)) {
      throw new CorruptError(`${place} is damaged: it lists something that is not a blob.`, { path: place });
    }
    return { name, createdAt: fields.date("createdAt"), blobs };
  },
};

/** Puts blobs on new marks. */
export async function writeMarks(
  storage: Storage,
  createdAt: Date,
  blobs: readonly string[],
  signal?: AbortSignal,
): Promise<Mark[]> {
  const marks: Mark[] = [];
  for (let start = 0; start < blobs.length; start += MOST_BLOBS) {
    const mark = {
      name: newMarkName(),
      createdAt,
      blobs: blobs.slice(start, start + MOST_BLOBS),
    };
    await new Documents(MARK_DOCUMENTS, storage).writeNew(mark.name, mark, { signal });
    marks.push(mark);
  }
  return marks;
}

/**
 * Has the grace period of blobs begin anew, of those that are on a mark: a snapshot that names them is to be deleted,
 * and somebody may be reading it.
 *
 * @param isNamed whether a snapshot names a blob; where that cannot be known, true.
 */
export async function restartGrace(
  place: { readonly storage: Storage; readonly logger: Logger },
  isNamed: (sha256: string) => boolean,
  now: Date,
): Promise<void> {
  const { marks } = await findMarks(place.storage, place.logger);
  const blobs = new Set(marks.flatMap((mark) => mark.blobs).filter(isNamed));
  await writeMarks(place.storage, now, [...blobs].sort());
}

/**
 * Every mark that there is, and the names of damaged ones. Those of a newer format are neither: who knows them takes
 * care of them.
 */
export async function findMarks(
  storage: Storage,
  logger: Logger,
  signal?: AbortSignal,
): Promise<{ marks: Mark[]; damaged: string[] }> {
  const marks: Mark[] = [];
  const damaged: string[] = [];
  const documents = new Documents(MARK_DOCUMENTS, storage);
  for await (const { key: name } of documents.list(signal)) {
    try {
      const mark = await documents.find(name, signal);
      if (mark) marks.push(mark);
    } catch (error) {
      if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
      logger.warn("a mark cannot be read; its blobs are marked again", { mark: name, reason: error.message });
      if (error instanceof CorruptError) damaged.push(name);
    }
  }
  return { marks, damaged };
}
