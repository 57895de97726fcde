import { createHash, hash } from "node:crypto";
import type { Table } from "@lancedb/lancedb";
import type { Field, RecordBatch, Schema } from "apache-arrow";
import { columnOf } from "../../arrow/column.ts";
import { DIGEST_BYTES } from "../../arrow/digest-table.ts";
import { rowDigests } from "../../arrow/row-digests.ts";
import { isBlob } from "../../arrow/types.ts";
import { UnsupportedError } from "../../errors.ts";

/** By this LanceDB finds large values; it is the address in most tables, and another number with stable row ids. */
export const ROW_ID = "_rowid";

/** Blobs that are read at once, each a piece at a time: memory does not grow with them. */
const AT_ONCE = 16;
const PIECE_BYTES = 1n << 20n;

/** Columns of which a scan gives no values, only where they lie: that changes when LanceDB moves them. */
export interface BlobColumns {
  readonly names: readonly string[];
  /** Others that hold such values, which cannot be compared. */
  readonly unreadable: readonly string[];
}

/** A table's columns of large values, by what its schema says of them. */
export function blobColumnsOf(schema: Pick<Schema, "fields">): BlobColumns {
  const names: string[] = [];
  const unreadable: string[] = [];
  for (const field of schema.fields) {
    if (isBlob(field)) names.push(field.name);
    else if (holdsBlobs(field)) unreadable.push(field.name);
  }
  return { names, unreadable };
}

/** Also those of Lance's first kind, which LanceDB's client does not read. */
function holdsBlobs(field: Field): boolean {
  const isOld = field.metadata.get("lance-encoding:blob") === "true";
  return isOld || isBlob(field) || (field.type.children ?? []).some((child: Field) => holdsBlobs(child));
}

/** @throws UnsupportedError naming the column, where large values cannot be compared. */
export function assertBlobsReadable(table: Table, { names, unreadable }: BlobColumns): void {
  const [column] = unreadable;
  if (column !== undefined) {
    throw new UnsupportedError(
      `its column ${column} keeps blobs inside of other values, or of Lance's first kind, whose bytes LanceDB does not hand over`,
    );
  }
  if (names.length > 0 && typeof table.fetchBlobFiles !== "function") {
    throw new UnsupportedError(
      `its column ${names[0]} keeps blobs, and this version of LanceDB does not hand over their bytes`,
    );
  }
}

/**
 * Answers with the digest of each row of a batch by content, as `rowDigests` does where no column keeps blobs. Reads these
 * blobs, a piece at a time; the batch then has the column `_rowid`. An answer is valid until the next call.
 */
export async function contentDigests(
  table: Table,
  batch: RecordBatch,
  columns: readonly string[],
  blobs: readonly string[],
  signal?: AbortSignal,
): Promise<(index: number) => Uint8Array> {
  if (blobs.length === 0) return rowDigests(batch, columns);
  const plain = rowDigests(
    batch,
    columns.filter((name) => !blobs.includes(name)),
  );
  const ids = Array.from(columnOf(batch, ROW_ID).values as BigUint64Array);
  const read: Uint8Array[][] = [];
  for (const column of blobs) read.push(await digestsOf(table, column, ids, signal));
  return (index) => {
    const parts = [plain(index), ...read.map((digests) => digests[index] as Uint8Array)];
    return hash("sha256", Buffer.concat(parts), "buffer").subarray(0, DIGEST_BYTES);
  };
}

async function digestsOf(
  table: Table,
  column: string,
  ids: readonly bigint[],
  signal: AbortSignal | undefined,
): Promise<Uint8Array[]> {
  const digests: Uint8Array[] = [];
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    signal?.throwIfAborted();
    const files = await table.fetchBlobFiles(column, ids.slice(from, from + AT_ONCE));
    digests.push(...(await Promise.all(files.map((file) => digestOf(file, signal)))));
  }
  return digests;
}

type BlobFile = Awaited<ReturnType<Table["fetchBlobFiles"]>>[number];

/** No value's digest is the one of null: that is no SHA-256. */
async function digestOf(file: BlobFile, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (file === null) return new Uint8Array(1);
  const sum = createHash("sha256");
  const size = file.size();
  for (let start = 0n; start < size; start += PIECE_BYTES) {
    signal?.throwIfAborted();
    const end = start + PIECE_BYTES;
    sum.update(await file.readRange(start, end < size ? end : size));
  }
  return sum.digest();
}
