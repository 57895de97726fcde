import type { Connection, Table } from "@lancedb/lancedb";
import { createTableIn } from "../../lance/lacking.ts";
import type { Logger } from "../../logger.ts";
import { type Chunk, toTable } from "../records/chunks.ts";
import { callLance } from "../records/lance-call.ts";
import { refName, type TableRef, type Target } from "./target-table.ts";
import type { WritePlan } from "./write-plan.ts";

export interface Written {
  readonly version: number;
  readonly insertedRows: number;
  readonly updatedRows: number;
}

/** Where and how chunks are written. */
export interface WriteJob {
  readonly db: Connection;
  readonly ref: TableRef;
  /** The table, where it exists. */
  readonly target: Target | undefined;
  readonly plan: WritePlan;
  readonly signal: AbortSignal | undefined;
  readonly logger: Logger;
}

/** Writes every chunk with a commit of its own. Throws `LanceError`; what was written until then stays. */
export async function writeChunks(
  job: WriteJob,
  chunks: AsyncIterable<Chunk> | Iterable<Chunk>,
): Promise<Written> {
  let table = job.target?.table;
  let first = true;
  let written = { version: job.target?.version ?? 0, insertedRows: 0, updatedRows: 0 };
  for await (const chunk of chunks) {
    job.signal?.throwIfAborted();
    const start = performance.now();
    const step = await callLance(`write to the table "${refName(job.ref)}"`, job.signal, async () => {
      if (table !== undefined && !(first && job.plan.action === "recreate")) {
        return await writeTo(table, job.plan, chunk, first);
      }
      table = await createFrom(job, chunk);
      return { version: await table.version(), insertedRows: chunk.numRows, updatedRows: 0 };
    });
    first = false;
    written = {
      version: step.version,
      insertedRows: written.insertedRows + step.insertedRows,
      updatedRows: written.updatedRows + step.updatedRows,
    };
    job.logger.debug("rows written", {
      table: refName(job.ref),
      action: job.plan.action,
      rows: chunk.numRows,
      version: step.version,
      ms: Math.round(performance.now() - start),
    });
  }
  return written;
}

async function createFrom(job: WriteJob, chunk: Chunk): Promise<Table> {
  const mode = job.plan.action === "recreate" ? "overwrite" : "create";
  return await createTableIn(job.db, job.ref, toTable(chunk), { mode });
}

async function writeTo(table: Table, plan: WritePlan, chunk: Chunk, first: boolean): Promise<Written> {
  if (plan.action === "update" || plan.action === "keep") {
    const merge = table.mergeInsert([...plan.mergeOn]);
    const updating = plan.action === "update" ? merge.whenMatchedUpdateAll() : merge;
    const result = await updating.whenNotMatchedInsertAll().execute(toTable(chunk));
    return {
      version: result.version,
      insertedRows: result.numInsertedRows,
      updatedRows: result.numUpdatedRows,
    };
  }
  const mode = first && plan.action === "overwrite" ? "overwrite" : "append";
  const result = await table.add(toTable(chunk), { mode });
  return { version: result.version, insertedRows: chunk.numRows, updatedRows: 0 };
}
