import type { TableLocation } from "../../lance/database.ts";
import { Door } from "../../lance/door.ts";
import { onlyMovesRows, planDelta, type TableDelta } from "../../lance/row-delta/plan-delta.ts";
import { type OpenVersion, rowsAt } from "../../lance/row-delta/scan-rows.ts";
import type { ChainEnd } from "../chain/chain-files.ts";
import type { BackupFileWriter, TablePosition } from "../file/backup-file.ts";
import type { PinnedTable } from "../table-pins.ts";
import { assertDropped, currentPosition, datasetOf } from "./live-tables.ts";
import { publish, writeAllRows } from "./publish-file.ts";
import { rowsPinned, tellShrunk } from "./rows-before.ts";
import { assertAnyTable, pinTable, tablesOf, unlessUnsupported, type WriteContext } from "./write-context.ts";
import { openSource, PinLostError, reading, type Source } from "./write-sources.ts";

/** A table that changed since the file before. */
interface Change {
  readonly location: TableLocation;
  readonly now: PinnedTable;
  readonly before: PinnedTable | undefined;
}

/**
 * Writes what changed since `end`; answers with the file's name, or null where no manifest is another.
 *
 * @throws PinLostError where the version of then is gone.
 */
export async function writeDelta(context: WriteContext, end: ChainEnd): Promise<string | null> {
  const before = new Map(end.document.tables.map((table) => [table.id, table]));
  // What is excluded now, or cannot be read now, stays as the file before has it: it was not dropped.
  const after = new Map([...before].filter(([id]) => context.settings.isExcluded(id)));
  const changes: Change[] = [];
  for (const location of await tablesOf(context)) {
    const old = before.get(location.id);
    const position = await currentPosition(datasetOf(context.settings.database, location));
    const same = old !== undefined && position !== undefined && samePosition(old.position, position);
    const pin = async () => (await pinTable(context, location)) ?? "gone";
    const now = same ? old : ((await unlessUnsupported(context, location.id, pin)) ?? old);
    if (now === undefined || now === "gone") continue;
    after.set(location.id, now);
    if (now !== old) changes.push({ location, now, before: old });
  }
  const dropped = end.document.tables.filter((table) => !after.has(table.id));
  if (changes.length === 0 && dropped.length === 0) return null;
  assertAnyTable([...after.values()], context.settings);
  await assertDropped(context.settings.database, dropped);
  const rowsBefore = await rowsPinned(context, end.file.name, end.document.tables);
  tellShrunk(context, rowsBefore, [...after.values()]);

  using open = new OpenThings();
  const planned: PlannedChange[] = [];
  for (const change of changes) {
    const { before: old, now } = change;
    const planning = () => reading(now.id, () => plan(context, change, open));
    const done = await unlessUnsupported(context, now.id, planning);
    if (done) planned.push(done);
    else if (old) after.set(now.id, old);
    else after.delete(now.id);
  }
  if (planned.length === 0 && dropped.length === 0) return null;
  const follows = { file: end.file.name, sha256: end.sha256 };
  const file = {
    type: "delta",
    database: end.document.database,
    follows,
    tables: [...after.values()],
  } as const;
  return await publish(context, file, async (writer) => {
    for (const { id, position } of dropped) {
      await writer.beginTable({ table: id, form: "dropped", key: [], from: position, indices: [] });
      await writer.endTable();
    }
    for (const change of planned) await reading(change.now.id, () => writeChange(writer, change));
  });
}

interface PlannedChange extends Change {
  readonly source: Source;
  readonly delta: TableDelta;
  readonly older: () => Promise<OpenVersion>;
}

async function plan(context: WriteContext, change: Change, open: OpenThings): Promise<PlannedChange> {
  const { settings, pins } = context;
  const { now, before, location } = change;
  const source = open.use(await openSource(settings, pins, now));
  const older = async () => {
    throw new PinLostError(`The table ${now.id} is new.`);
  };
  if (before === undefined) {
    return { ...change, source, older, delta: { form: "replaced", why: "it is new", cause: "recreated" } };
  }
  const was = await pins.image(before);
  if (was === undefined) throw new PinLostError(`The pin of the table ${now.id} is gone or damaged.`);
  const opened = once(async () => {
    const { table } = open.use(await Door.open(settings.lancedb, settings.database, pins.path(before)));
    return { table, manifest: was.parsed };
  });
  const dataset = datasetOf(settings.database, location);
  const delta = await planDelta({
    before: was.parsed,
    after: source.version,
    newer: source.door.table,
    older: async () => (await opened()).table,
    key: source.key,
    onlyMoves: () => onlyMovesRows(dataset, before.position, now.position),
  });
  if (delta.form === "replaced") report(context, now.id, source.key, delta);
  return { ...change, source, delta, older: opened };
}

function report(
  { settings }: WriteContext,
  table: string,
  key: readonly string[],
  { why, cause }: Extract<TableDelta, { form: "replaced" }>,
): void {
  const meta = { table, key, reason: why };
  if (cause === "keys")
    settings.logger.warn("a table is written in full, since its key does not tell its rows apart", meta);
  else settings.logger.info("a table is written in full", meta);
}

async function writeChange(writer: BackupFileWriter, change: PlannedChange): Promise<void> {
  const { source, now, before, delta } = change;
  const from = before?.position;
  if (delta.form === "replaced") return writeAllRows(writer, { table: now, source, form: "replaced", from });
  const { schema, key, indices, door } = source;
  const columns = schema.fields.map((field) => field.name);
  const is = { table: door.table, manifest: source.version };
  const head = { table: now.id, form: "changes", schema, key, from, to: now.position, indices } as const;
  await writer.beginTable(head);
  for await (const batch of rowsAt(is, delta.upserts, columns)) await writer.write("upserts", batch);
  if (delta.deletes.size > 0) {
    const was = await change.older();
    for await (const batch of rowsAt(was, delta.deletes, key)) await writer.write("deletes", batch);
  }
  await writer.endTable();
}

/** Closes what it was given. (`DisposableStack` needs Node 24.) */
class OpenThings implements Disposable {
  readonly #things: Disposable[] = [];

  use<T extends Disposable>(thing: T): T {
    this.#things.push(thing);
    return thing;
  }

  [Symbol.dispose](): void {
    for (const thing of this.#things.reverse()) thing[Symbol.dispose]();
  }
}

function samePosition(a: TablePosition, b: TablePosition): boolean {
  return a.version === b.version && a.digest === b.digest;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
