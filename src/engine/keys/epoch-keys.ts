import { hkdfSync } from "node:crypto";
import { MASTER_BYTES } from "./repository-key.ts";

// What is made of the master of an epoch (docs/formats.md, "Keys").

/** The secret of an epoch. */
export interface EpochMaster {
  /** From 1 on. */
  readonly epoch: number;
  /** 32 random bytes. */
  readonly master: Uint8Array;
}

/** An epoch's keys, of 32 bytes each. */
export interface EpochKeys extends EpochMaster {
  readonly blobs: Uint8Array;
  readonly names: Uint8Array;
  readonly documents: Uint8Array;
  /** What the cuts by content are made of. */
  readonly gear: Uint8Array;
  /** By which slots are authenticated. */
  readonly slots: Uint8Array;
  /** By this a master is known to be the epoch's: 64 hexadecimal digits, no secret. */
  readonly check: string;
}

const NO_SALT = new Uint8Array();

export function epochKeys({ epoch, master }: EpochMaster): EpochKeys {
  if (master.length !== MASTER_BYTES) throw new TypeError(`A master has ${MASTER_BYTES} bytes.`);
  const derive = (what: string) =>
    Buffer.from(hkdfSync("sha256", master, NO_SALT, `lancedb-backup ${what} 2`, 32));
  return {
    epoch,
    master,
    blobs: derive("blobs"),
    names: derive("names"),
    documents: derive("documents"),
    gear: derive("gear"),
    slots: derive("slots"),
    check: derive("check").toString("hex"),
  };
}
