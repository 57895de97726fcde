import { Fields } from "../../fs/fields.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import type { DocumentKind } from "../documents.ts";
import { FORMAT, KEYS } from "../format/names.ts";

/** Objects `keys/epoch-<number>.json`: by creating one, exclusively, a rotation has happened. */
export interface EpochRecord {
  /** From 2 on; of the first the repository's mark says the same. */
  readonly epoch: number;
  readonly createdAt: Date;
  /** Of its master, as `EpochKeys.check`. */
  readonly check: string;
}

const EPOCH = /^keys\/epoch-([1-9][0-9]{0,8})\.json$/;

function epochRecordName(epoch: number): string {
  return `${KEYS}epoch-${epoch}.json`;
}

/** The name of the note that everything is being encrypted anew by an epoch's key. */
export function rewriteName(epoch: number): string {
  return `${KEYS}rewrite-${epoch}.json`;
}

export function parseEpochRecordName(name: string): number | undefined {
  const digits = EPOCH.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** By their numbers. */
export const EPOCH_DOCUMENTS: DocumentKind<number, EpochRecord> = {
  prefix: KEYS,
  nameOf: epochRecordName,
  keyOf: parseEpochRecordName,
  encode: ({ epoch, createdAt, check }) =>
    encodeRecord({ epoch, createdAt: createdAt.toISOString(), check }, FORMAT),
  decode(bytes, _epoch, place) {
    const fields = new Fields(decodeRecord(bytes, place, FORMAT), place, "epoch");
    return {
      epoch: fields.count("epoch"),
      createdAt: fields.date("createdAt"),
      check: fields.digest("check"),
    };
  },
};
