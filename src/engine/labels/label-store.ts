import {
  type BackupError,
  BackupNotFoundError,
  CorruptError,
  IoError,
  UnsupportedError,
} from "../../errors.ts";
import type { Storage } from "../../storage/storage.ts";
import { forEachParallel } from "../../util/parallel.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import { Documents } from "../documents.ts";
import { LABELS, snapshotName } from "../format/names.ts";
import { LABEL_DOCUMENTS, type Labels, type LabelsRecord, LONGEST_REASON } from "./label-record.ts";

const PARALLEL_READS = 16;
/** Others change the same snapshot's labels at the same time; each turn one of them is done. */
const MOST_TURNS = 100;

/** The newest record of a snapshot; where it cannot be read, why. */
export interface FoundLabels {
  readonly record: LabelsRecord | undefined;
  readonly number: number;
  /** When its object was written, by the storage's clock. */
  readonly modified: Date;
  readonly error?: BackupError | undefined;
}

interface LabelsPlace {
  readonly storage: Storage;
  /** How documents are read and written. Default: they are as they are. */
  readonly documents?: DocumentCodec | undefined;
}

/** What was said of snapshots after they were taken (docs/formats.md, *Labels*). */
export class LabelStore {
  readonly #storage: Storage;
  readonly #records: Documents<Pick<LabelsRecord, "snapshot" | "number">, LabelsRecord, Labels>;

  constructor({ storage, documents }: LabelsPlace) {
    this.#storage = storage;
    this.#records = new Documents(LABEL_DOCUMENTS, storage, documents);
  }

  /** The newest record of every snapshot that has any, by its id. @throws IoError where the storage cannot be read */
  async all(signal?: AbortSignal): Promise<Map<string, FoundLabels>> {
    const found = new Map<string, FoundLabels>();
    const newest = await this.#newest(LABELS, signal);
    await forEachParallel([...newest], PARALLEL_READS, async ([id, { number, modified }]) => {
      const labels = (await this.#read(id, number, modified, signal)) ?? (await this.of(id, signal));
      if (labels) found.set(id, labels);
    });
    return found;
  }

  /** That of one snapshot; undefined where there is none. */
  async of(id: string, signal?: AbortSignal): Promise<FoundLabels | undefined> {
    for (let turn = 0; turn < MOST_TURNS; turn++) {
      const newest = (await this.#newest(`${LABELS}${id}.`, signal)).get(id);
      if (!newest) return undefined;
      const labels = await this.#read(id, newest.number, newest.modified, signal);
      if (labels) return labels; // else a newer one has taken its place
    }
    throw new IoError(`The labels of snapshot ${id} change faster than they can be read.`, {
      path: `${this.#storage.location}/${LABELS}`,
    });
  }

  /**
   * Says something new of a snapshot.
   *
   * @param tags those in its document.
   * @param revise what is to hold in place of what holds; the same object: nothing is changed. It may be called again upon its own result.
   *   Of a damaged record the snapshot's own tags hold, and a pin: whoever does not mean the pin keeps it.
   * @throws BackupNotFoundError where the snapshot is gone. @throws UnsupportedError where a newer version has written what holds. @throws IoError
   */
  async change(
    id: string,
    tags: readonly string[],
    revise: (now: Labels, isAssumed: boolean) => Labels,
    signal?: AbortSignal,
  ): Promise<Labels> {
    for (let turn = 0; turn < MOST_TURNS; turn++) {
      const found = await this.of(id, signal);
      if (found?.error instanceof UnsupportedError) throw found.error;
      const now: Labels = labelsOf(found, { tags }) ?? { tags };
      const next = revise(now, found?.error !== undefined);
      if (next === now && !found?.error) return now;
      if (!(await this.#isThere(id, signal))) throw new BackupNotFoundError(id);
      const number = (found?.number ?? 0) + 1;
      const key = { snapshot: id, number };
      if (!(await this.#records.writeNew(key, next, { signal }))) continue;
      if (!(await this.#isThere(id, signal))) {
        // This record alone: a removal that finds another's pin brings the snapshot back.
        await this.#records.remove(key);
        throw new BackupNotFoundError(id);
      }
      // A number that had been used, and removed, was free again: others have gone on without this record, or from it.
      const isNewest = (await this.#newest(`${LABELS}${id}.`, signal)).get(id)?.number === number;
      await this.#removeBelow(id, number);
      if (isNewest) return next;
      await this.#records.remove(key);
    }
    throw new IoError(`The labels of snapshot ${id} change faster than they can be written.`, {
      path: `${this.#storage.location}/${LABELS}`,
    });
  }

  /** All records of a snapshot, which is gone. */
  async forget(id: string): Promise<void> {
    await this.#removeBelow(id, Number.POSITIVE_INFINITY);
  }

  /** Ids of all snapshots of which there are records, also of those that are gone. Reads none. */
  async ids(signal?: AbortSignal): Promise<string[]> {
    return [...(await this.#newest(LABELS, signal)).keys()];
  }

  /**
   * Seals every record by the newest key, where documents are sealed. For who holds an exclusive lease.
   *
   * @param epoch of that key. @throws CorruptError
   */
  async reseal(epoch: number, signal?: AbortSignal): Promise<void> {
    for (const [snapshot, { number }] of await this.#newest(LABELS, signal))
      await this.#records.seal({ snapshot, number }, epoch, { signal });
  }

  async #read(
    id: string,
    number: number,
    modified: Date,
    signal: AbortSignal | undefined,
  ): Promise<FoundLabels | undefined> {
    try {
      const record = await this.#records.find({ snapshot: id, number }, signal);
      if (!record) return undefined;
      return { record, number, modified };
    } catch (error) {
      if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
      return { record: undefined, number, modified, error };
    }
  }

  /** The highest number of each snapshot. */
  async #newest(prefix: string, signal: AbortSignal | undefined) {
    const newest = new Map<string, { readonly number: number; readonly modified: Date }>();
    for await (const { key, modified } of this.#records.list(signal, prefix)) {
      const { snapshot, number } = key;
      if (number > (newest.get(snapshot)?.number ?? 0)) newest.set(snapshot, { number, modified });
    }
    return newest;
  }

  async #isThere(id: string, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.#storage.stat(snapshotName(id), { signal })) !== undefined;
  }

  async #removeBelow(id: string, number: number): Promise<void> {
    for await (const { key } of this.#records.list(undefined, `${LABELS}${id}.`))
      if (key.snapshot === id && key.number < number) await this.#records.remove(key);
  }
}

/** What holds of a snapshot: one whose labels cannot be read is pinned, since it may be. */
export function labelsOf(
  found: FoundLabels | undefined,
  { tags }: { readonly tags: readonly string[] },
): Labels | undefined {
  if (!found) return undefined;
  const { record, modified: since, error } = found;
  if (record) return record;
  const reason = `its labels cannot be read: ${error?.message ?? ""}`.slice(0, LONGEST_REASON);
  return { tags, pinned: { since, reason } };
}
