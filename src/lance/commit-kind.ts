import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { isMissing, toIoError } from "../fs/io.ts";
import { assertInnerPath } from "../fs/names.ts";
import type { Manifest } from "./manifest.ts";
import type { ManifestName } from "./manifest-name.ts";
import { type Transaction, TransactionSchema } from "./proto/lance_pb.ts";
import { readManifest } from "./put-back/state.ts";

/** What a version's commit was, as Lance's transaction names it. */
export type CommitKind = NonNullable<Transaction["operation"]["case"]>;

/** The kind of commit that made a version; undefined where it cannot be told. */
export function commitKindOf(dataset: string, name: ManifestName): CommitKind | undefined {
  const manifest = readManifest(dataset, name)?.manifest;
  if (!manifest) return undefined;
  const transaction = manifest.transaction ?? readTransactionFile(dataset, manifest);
  return transaction?.operation.case;
}

/** Older Lance wrote the transaction beside the manifest only. */
function readTransactionFile(dataset: string, manifest: Manifest): Transaction | undefined {
  const file = manifest.message.transactionFile;
  if (!file) return undefined;
  assertInnerPath(file, dataset);
  const path = join(dataset, "_transactions", file);
  try {
    return fromBinary(TransactionSchema, readFileSync(path));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw toIoError(error, "read", path);
  }
}
