import { type BackupError, CorruptError, UnsupportedError } from "../../errors.ts";
import { isUnreadable } from "../../fs/io.ts";
import type { Storage } from "../../storage/storage.ts";
import { forEachParallel } from "../../util/parallel.ts";
import { Documents } from "../documents.ts";
import { KEYS } from "../format/names.ts";
import { EPOCH_DOCUMENTS, parseEpochRecordName, rewriteName } from "./epoch-record.ts";
import { parseSlotName, type SealedSlot, SLOT_DOCUMENTS } from "./slot.ts";

/** An epoch as a repository says it in the open. */
export interface KnownEpoch {
  readonly epoch: number;
  /** Of its master; undefined where the object that says it is lost or damaged. */
  readonly check: string | undefined;
}

interface DamagedSlot {
  readonly id: string;
  readonly error: BackupError;
}

/** What lies below `keys/`. */
export interface KeyObjects {
  /** Another one where anything was added, removed or replaced. */
  readonly signature: string;
  /** What new objects are encrypted by. */
  readonly current: KnownEpoch;
  /** Slots of the repository, of whatever epoch, by their ids. */
  readonly slots: readonly SealedSlot[];
  readonly damaged: readonly DamagedSlot[];
  /** Slots of other repositories. */
  readonly foreign: readonly SealedSlot[];
  /** Whether an encryption of everything by the current epoch's key was begun, and not ended. */
  readonly isRewriting: boolean;
}

/** So many slots a person does not make: each may cost a second, and whoever can write may make more. */
const MOST_SLOTS = 200;
const PARALLEL_READS = 8;

/** Names and sizes of what lies below `keys/`. A slot that is written anew has another size. */
export async function listKeyObjects(storage: Storage): Promise<ReadonlyMap<string, number>> {
  const found: [string, number][] = [];
  for await (const { name, size } of storage.list(KEYS)) found.push([name, size]);
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function signatureOf(names: ReadonlyMap<string, number>): string {
  return [...names].map(([name, size]) => `${name} ${size}`).join("\n");
}

/**
 * Reads every slot, and which epoch it is. What is damaged is told, and others serve.
 *
 * @param repository its id; undefined where its mark is lost: then it is that of the slots, where they agree.
 * @param first what the mark says of the first epoch.
 * @throws CorruptError where there are more slots than anybody makes. @throws IoError
 */
export async function readKeyObjects(
  storage: Storage,
  repository: string | undefined,
  first: KnownEpoch,
): Promise<KeyObjects> {
  const names = await listKeyObjects(storage);
  const ids = [...names.keys()].flatMap((name) => parseSlotName(name) ?? []);
  if (ids.length > MOST_SLOTS) {
    throw new CorruptError(
      `${storage.location}/${KEYS} has ${ids.length} key slots: somebody has put them there.`,
      {
        path: `${storage.location}/${KEYS}`,
      },
    );
  }
  const found = new Map<string, SealedSlot>();
  const damaged: DamagedSlot[] = [];
  const documents = new Documents(SLOT_DOCUMENTS, storage);
  await forEachParallel(ids, PARALLEL_READS, async (id) => {
    try {
      const slot = await documents.find(id);
      if (slot) found.set(id, slot); // else removed since it was listed
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.push({ id, error });
    }
  });
  const slots = ids.flatMap((id) => found.get(id) ?? []);
  const own = repository ?? slots[0]?.repository;
  const mine = slots.filter((slot) => slot.repository === own);
  const current = await currentEpoch(storage, names, mine, first);
  return {
    signature: signatureOf(names),
    current,
    slots: mine,
    damaged,
    foreign: slots.filter((slot) => slot.repository !== own),
    isRewriting: names.has(rewriteName(current.epoch)),
  };
}

/** The highest that a rotation has made; where its object is gone, the highest of which there are slots. */
async function currentEpoch(
  storage: Storage,
  names: ReadonlyMap<string, number>,
  slots: readonly SealedSlot[],
  first: KnownEpoch,
): Promise<KnownEpoch> {
  const epochs = [...names.keys()].flatMap((name) => parseEpochRecordName(name) ?? []);
  const epoch = Math.max(first.epoch, ...epochs);
  const known = epoch === first.epoch ? first : { epoch, check: await checkOf(storage, epoch) };
  if (slots.some((slot) => slot.epoch === epoch && (known.check ?? slot.check) === slot.check)) return known;
  const later = slots.filter((slot) => slot.epoch > epoch).map((slot) => slot.epoch);
  return later.length > 0 ? { epoch: Math.max(...later), check: undefined } : known;
}

/** Undefined where the object is damaged, or gone by now: slots say the same. */
async function checkOf(storage: Storage, epoch: number): Promise<string | undefined> {
  try {
    const record = await new Documents(EPOCH_DOCUMENTS, storage).find(epoch);
    return record?.epoch === epoch ? record.check : undefined;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

function isDamage(error: unknown): error is BackupError {
  if (error instanceof CorruptError || error instanceof UnsupportedError) return true;
  return isUnreadable(error); // a bad sector: others can be read
}
