import type { BackupContext } from "../../src/engine/backup/backup.ts";
import type { VerifyContext } from "../../src/engine/verify/verify.ts";
import { CompletenessCheck } from "../../src/sources/lancedb/completeness.ts";
import { LanceDBSource } from "../../src/sources/lancedb/lancedb-source.ts";
import type { Storage } from "../../src/storage/storage.ts";

/** What a Repository gives the engine of LanceDB's. */
export const openSource: BackupContext["openSource"] = (path, id) => LanceDBSource.open(path, { id });

export function completenessIn(storage: Storage): VerifyContext["completeness"] {
  return (states, signal) => new CompletenessCheck(storage, states, signal);
}
