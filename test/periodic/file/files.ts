import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RecordBatch } from "apache-arrow";
import type { FileFormat, FileHead, RowKind, TableHead } from "../../../src/periodic/file/backup-file.ts";
import { createBackupFile } from "../../../src/periodic/file/create-file.ts";
import { openBackupFile } from "../../../src/periodic/file/open-file.ts";
import { type Row, rowsOf } from "./columns.ts";

export const full: FileHead = {
  type: "full",
  database: "3f0e8a52-6c1f-4b7e-9a53-0d9f6f1f7f11",
  timestamp: "2026-11-05T12:34:56.789012Z",
};
export const delta: FileHead = {
  ...full,
  type: "delta",
  follows: { file: "lancedb_backup_1_000001.json", sha256: "ab".repeat(32) },
};
export const position = (version: number) => ({ version, digest: "0f".repeat(32) });

export interface TableRows {
  readonly head: TableHead;
  readonly upserts?: readonly RecordBatch[];
  readonly deletes?: readonly RecordBatch[];
}

export interface ReadTable {
  readonly head: TableHead;
  readonly upserts: Row[];
  readonly deletes: Row[];
  readonly batches: RecordBatch[];
}

/** A directory that is removed when the test is over. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string; file(): string }> {
  const path = await mkdtemp(join(tmpdir(), "periodic-file-"));
  return {
    path,
    file: () => join(path, randomUUID()),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

export async function writeAll(
  path: string,
  format: FileFormat,
  head: FileHead,
  tables: readonly TableRows[],
) {
  const writer = await createBackupFile(path, format, head);
  for (const table of tables) {
    await writer.beginTable(table.head);
    for (const batch of table.upserts ?? []) await writer.write("upserts", batch);
    for (const batch of table.deletes ?? []) await writer.write("deletes", batch);
    await writer.endTable();
  }
  return writer.finish();
}

export async function readAll(
  path: string,
): Promise<{ head: FileHead; sha256: string; tables: ReadTable[] }> {
  await using file = await openBackupFile(path);
  const tables: ReadTable[] = [];
  for await (const table of file.tables()) {
    const read: Record<RowKind, RecordBatch[]> = { upserts: [], deletes: [] };
    for (const kind of ["upserts", "deletes"] as const) {
      for await (const batch of table.batches(kind)) read[kind].push(batch);
    }
    const upserts = rowsOf(read.upserts);
    const deletes = rowsOf(read.deletes);
    if (upserts.length !== table.upserts || deletes.length !== table.deletes)
      throw new Error("counts differ");
    tables.push({ head: table.head, upserts, deletes, batches: [...read.upserts, ...read.deletes] });
  }
  return { head: file.head, sha256: file.sha256, tables };
}
