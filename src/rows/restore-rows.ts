import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection, Table } from "@lancedb/lancedb";
import type { RecordBatch } from "apache-arrow";
import { assertFlag } from "../checks.ts";
import { LanceError, ValidationError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import type { BackupManager } from "../guard/backup-manager.ts";
import { upsertAsGiven } from "../guard/write/upsert-as-given.ts";
import {
  checkGuarded,
  GUARDED_OPTIONS,
  type GuardedOptions,
  HelperCall,
} from "../guard/write/write-options.ts";
import { LanceDB } from "../lance/which-lancedb.ts";
import type { Audited } from "../repository/audit-trail.ts";
import { Repository } from "../repository/repository.ts";
import { assertComparable, type Compared, differingRows, type RowCounts } from "./compare-rows.ts";
import { assertWhichRows, filtersOf, type WhichRows } from "./which-rows.ts";

/** Which rows come back, and into which live table. */
export interface RestoreRowsOptions extends GuardedOptions, WhichRows {
  readonly table: string;
  /** The table as it was at this moment; as for `Repository.restore`. */
  readonly at?: Date | undefined;
  /** Of which database the snapshot is to be, by its id or its directory. Default: the live database. */
  readonly source?: string | undefined;
  /** Only compare, and tell. Default false. */
  readonly dryRun?: boolean | undefined;
  /**
   * Compare the digests of the table's files in the repository before a row is taken from them. They are copied to a temporary
   * directory for it. Default true, and not in a dry run; without, they are read where they are.
   */
  readonly verify?: boolean | undefined;
}

/** What came back; of a dry run, what would. */
export interface RestoredRows {
  /** The snapshot's id. */
  readonly snapshot: string;
  readonly table: string;
  readonly dryRun: boolean;
  /** Rows that the live table did not have. */
  readonly added: number;
  /** Rows that it had with other values. */
  readonly changed: number;
  /** Rows that were as they were in the snapshot: they are not written. */
  readonly same: number;
  /** The live table's version now. */
  readonly version: number;
}

/**
 * Brings rows of a snapshot back into a live table, found by a filter or by their keys: those that it lacks, and those that have other
 * values. Other rows stay, also those that the snapshot does not have. It is guarded work: all come back, or none.
 *
 * @param id a snapshot, as for `Repository.restore`.
 * @throws ValidationError where snapshot, table, column or row is not there, the live table has other columns, or two rows of either
 * have one key; UnsupportedError where a column keeps blobs: nothing was written.
 * @throws CorruptError where the snapshot's files are damaged. @throws LanceError for a filter that LanceDB does not take.
 * @throws those of `BackupManager.withBackup`; the signal's reason
 * @example
 * ```ts
 * const lost = { table: "documents", rows: "doc_id = 'handbook'", key: "chunk_id" };
 * await restoreRowsWithBackup(repository, "latest", { ...lost, dryRun: true });
 * const { added, changed } = await restoreRowsWithBackup(repository, "latest", lost);
 * ```
 */
export async function restoreRowsWithBackup(
  repository: Repository,
  id: string,
  options: RestoreRowsOptions,
): Promise<RestoredRows> {
  if (!(repository instanceof Repository)) throw new TypeError("repository must be a Repository.");
  const ref = checkGuarded("restoreRowsWithBackup", options?.table, options, {
    ...GUARDED_OPTIONS,
    ...{ table: true, rows: true, keys: true, key: true, at: true, source: true, dryRun: true, verify: true },
  });
  assertWhichRows(options);
  assertFlag(options.dryRun, "dryRun");
  assertFlag(options.verify, "verify");
  const call = new HelperCall(ref, options);
  return repository.recorded(auditedRows(id, call.manager.uri), options, () =>
    restoreRows(repository, id, call, options),
  );
}

/** What the audit log says of it. */
function auditedRows(snapshot: string, target: string): Audited<RestoredRows> {
  return {
    operation: "restore",
    details: { snapshot: String(snapshot), targets: [target] },
    told: ({ snapshot: id, table, added, changed, same }) => ({
      ...{ snapshot: id, mode: "rows", table, added, changed, same },
    }),
  };
}

async function restoreRows(
  repository: Repository,
  id: string,
  call: HelperCall,
  options: RestoreRowsOptions,
): Promise<RestoredRows> {
  const { id: table, manager, ref } = call;
  const { key = "id", signal, dryRun = false, verify = !dryRun, at } = options;
  const { source = manager.uri } = options;
  const snapshot = await snapshotOf(repository, id, { source, at, table });
  await using old = await openTable(repository, snapshot, { source, at, table, verify, manager, signal });
  const schema = await old.table.schema();
  const filters = filtersOf(table, schema, options);
  assertComparable(table, schema);
  await using opened = await liveTable(manager, ref, options);
  const { table: live } = opened;
  assertComparable(table, await live.schema());
  const counts: RowCounts = { added: 0, changed: 0, same: 0 };
  const compared: Compared = { id: table, old: old.table, live, key, filters, signal };
  await told(table, signal, async () => {
    for await (const _ of differingRows(compared, counts)) signal?.throwIfAborted();
  });
  if (counts.added + counts.changed + counts.same === 0) {
    throw new ValidationError(`Snapshot ${snapshot} has no such row in its table ${table}.`);
  }
  const done = { snapshot, table, dryRun, ...counts };
  if (dryRun || counts.added + counts.changed === 0) return { ...done, version: await live.version() };
  const now: RowCounts = { added: 0, changed: 0, same: 0 };
  const written = await upsertAsGiven(() => differingNow(compared, now), key, call);
  const { version, insertedRows: added, updatedRows: changed } = written;
  return { ...done, added, changed, same: now.same, version };
}

/** What differs from the live table as it is by now: others may have written since it was opened. */
async function* differingNow(compared: Compared, counts: RowCounts): AsyncGenerator<RecordBatch> {
  await compared.live.checkoutLatest();
  yield* differingRows(compared, counts);
}

/** `latest` and names are resolved once: two looks could find two snapshots. With a moment the choice is `restore`'s. */
async function snapshotOf(
  repository: Repository,
  id: string,
  { source, at, table }: { readonly source: string; readonly at: Date | undefined; readonly table: string },
): Promise<string> {
  if (at === undefined) return (await repository.get(id, { source })).id;
  const target = join(tmpdir(), "lancedb-backup-rows-not-made");
  return (await repository.restore(id, { target, source, at, tables: [table], dryRun: true })).snapshot;
}

interface OldTable extends AsyncDisposable {
  readonly table: Table;
}

/** The table as the snapshot has it, until it is disposed of. */
async function openTable(
  repository: Repository,
  snapshot: string,
  request: {
    readonly source: string;
    readonly at: Date | undefined;
    readonly table: string;
    readonly verify: boolean;
    readonly manager: BackupManager;
    readonly signal: AbortSignal | undefined;
  },
): Promise<OldTable> {
  const { source, at, table, verify, signal } = request;
  const wanted = { source, tables: [table], ...(at && { at }), signal };
  if (!verify) {
    const opened = await repository.openSnapshot(snapshot, wanted);
    return heldBy(opened, table, async () => {
      await opened[Symbol.asyncDispose]();
    });
  }
  const scratch = await mkdtemp(join(tmpdir(), "lancedb-backup-rows-"));
  const remove = () => rm(scratch, { recursive: true, force: true });
  try {
    const target = join(scratch, "database");
    await repository.restore(snapshot, { ...wanted, target });
    const connection = await new LanceDB().connectAside(target);
    return await heldBy(connection, table, async () => {
      connection.close();
      await remove();
    });
  } catch (error) {
    await remove();
    throw error;
  }
}

async function heldBy(connection: Connection, id: string, end: () => Promise<void>): Promise<OldTable> {
  const path = id.split("$");
  try {
    const table = await connection.openTable(path.at(-1) ?? id, path.slice(0, -1));
    const dispose = async () => {
      table.close();
      await end();
    };
    return { table, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A dry run changes nothing: neither does it roll back what dead processes left. */
async function liveTable(
  manager: BackupManager,
  { name, namespacePath }: { readonly name: string; readonly namespacePath: readonly string[] },
  { dryRun, lancedb, connection: settings }: RestoreRowsOptions,
): Promise<OldTable> {
  if (!existsSync(manager.uri)) throw new ValidationError(`There is no database at ${manager.uri}.`);
  const connection = dryRun
    ? await new LanceDB({ lancedb, connection: settings }).connect(manager.uri)
    : await manager.connection();
  const end = async () => {
    if (dryRun) connection.close();
  };
  const path = [...namespacePath];
  const names = await connection.tableNames(path).catch(async (error: unknown) => {
    await end();
    throw new LanceError(`The tables of ${manager.uri} could not be listed: ${reasonOf(error)}`, {
      cause: error,
    });
  });
  if (!names.includes(name)) {
    await end();
    throw new ValidationError(
      `There is no table ${[...path, name].join("$")} in ${manager.uri}: restore it as a whole, in place.`,
    );
  }
  return heldBy(connection, [...path, name].join("$"), end);
}

/** What LanceDB says of a filter that it does not take. */
async function told<T>(table: string, signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ValidationError) throw error;
    throw new LanceError(`The rows of table ${table} could not be compared: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}
