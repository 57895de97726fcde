import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { isMissing, toIoError } from "../fs/io.ts";
import { assertInnerPath } from "../fs/safe-names.ts";
import { fragmentsBeside } from "./fragment-files.ts";
import { type Manifest, type ManifestName, readManifest } from "./manifest.ts";
import { type Transaction, TransactionSchema } from "./proto/lance_pb.ts";

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

/**
 * What a commit can be known by besides its kind, where that is known before it is made: how many rows an
 * append adds, by which predicate a delete deletes.
 */
export interface CommitMark {
  readonly kind: CommitKind;
  readonly value: string;
}

/** The mark that the append of LanceDB's `data` will have; undefined where its rows cannot be counted. */
export function markOfAppend(data: unknown): CommitMark | undefined {
  const rows =
    Array.isArray(data) || !(typeof data === "object" && data !== null && "numRows" in data)
      ? (data as { length?: unknown } | null)?.length
      : data.numRows;
  return typeof rows === "number" ? { kind: "append", value: String(rows) } : undefined;
}

/** The mark that a delete by this predicate will have; undefined for what LanceDB refuses. */
export function markOfDelete(predicate: unknown): CommitMark | undefined {
  return typeof predicate === "string" ? { kind: "delete", value: digest(predicate) } : undefined;
}

/**
 * Whether a version can be the commit of this mark. True where that cannot be told.
 *
 * @param before the manifest of the version before, if there is one
 */
export function canBe(mark: CommitMark, manifest: Manifest, before: Manifest | undefined): boolean {
  const operation = manifest.transaction?.operation;
  if (operation?.case !== mark.kind) return true;
  if (operation.case === "append") return !before || String(rowsAdded(manifest, before)) === mark.value;
  if (operation.case !== "delete") return true;
  const predicate = predicateOf(operation);
  return predicate === undefined || digest(predicate) === mark.value;
}

/** Of fragments that the version before has not: where an older LanceDB wrote it, the others can be noted anew too. */
function rowsAdded(manifest: Manifest, before: Manifest): number {
  const known = fragmentsBeside(before, manifest);
  return [...fragmentsBeside(manifest, before)]
    .filter(([id]) => !known.has(id))
    .reduce((sum, [, { fragment }]) => sum + Number(fragment.physicalRows), 0);
}

/** Field 3 of Lance's `Transaction.Delete`. */
function predicateOf({ value }: Transaction["operation"] & { case: "delete" }): string | undefined {
  const reader = new BinaryReader(value);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 3) return reader.string();
    reader.skip(type, field);
  }
  return undefined;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
