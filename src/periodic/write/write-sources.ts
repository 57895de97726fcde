import type { Field, Schema } from "apache-arrow";
import { assertFilterable, assertKey, assertMergeable } from "../../arrow/row-key.ts";
import { isKeyType } from "../../arrow/types.ts";
import { BackupError, CorruptError, LanceError, UnsupportedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { advice } from "../../hint.ts";
import { openWithoutBroken } from "../../lance/broken-indices.ts";
import type { Door } from "../../lance/door.ts";
import { canListIndices } from "../../lance/fragment-files.ts";
import { assertAddressable } from "../../lance/lacking.ts";
import type { Manifest } from "../../lance/manifest.ts";
import { fieldsOf } from "../../lance/manifest-fields.ts";
import { blobColumnsOf } from "../../lance/row-delta/blob-digests.ts";
import type { IndexRecord } from "../file/backup-file.ts";
import { recordIndices } from "../index-records.ts";
import type { PeriodicSettings } from "../periodic-options.ts";
import type { PinnedTable, PinStore } from "../table-pins.ts";

/** A pinned table that is open for reading, and what a file says before its rows. */
export interface Source extends Disposable {
  readonly door: Pick<Door, "table">;
  readonly schema: Schema;
  readonly key: readonly string[];
  readonly indices: readonly IndexRecord[];
  readonly version: Manifest;
}

/**
 * Opens a pinned table.
 *
 * @throws ValidationError where deltas are wanted and its key is none.
 * @throws UnsupportedError for columns whose bytes a scan does not give. @throws LanceError
 */
export function openSource(settings: PeriodicSettings, pins: PinStore, table: PinnedTable): Promise<Source> {
  return reading(table.id, () => open(settings, pins, table));
}

async function open(settings: PeriodicSettings, pins: PinStore, table: PinnedTable): Promise<Source> {
  await settings.lancedb.assertOneArrow();
  const door = await openWithoutBroken(settings.lancedb, settings.database, pins.path(table));
  try {
    const version = (await pins.image(table))?.parsed;
    if (version === undefined) throw new CorruptError(`The links to the table ${table.id} are damaged.`);
    const schema = await door.table.schema().catch((error: unknown) => {
      throw unreadableSchema(table.id, version, error) ?? error;
    });
    await assertAddressable(door.table, table.id);
    const [blob] = blobColumnsOf(schema).names;
    if (blob !== undefined) {
      throw new UnsupportedError(
        advice`The table ${table.id} keeps blobs in its column ${JSON.stringify(blob)}, which periodic files cannot hold. Leave it out ${{ options: { tables: null } }}.`,
      );
    }
    assertReadable(table.id, schema);
    const key = keyOf(settings, table.id, schema);
    const indices = canListIndices(version) ? await recordIndices(door.table) : noIndices(settings, table);
    return { door, schema, key, indices, version, [Symbol.dispose]: () => door[Symbol.dispose]() };
  } catch (error) {
    door[Symbol.dispose]();
    throw error;
  }
}

const told = new WeakSet<PinnedTable>();

/** LanceDB refuses to say which there are; those that search the rows again can be made by hand. */
function noIndices({ logger }: PeriodicSettings, table: PinnedTable): IndexRecord[] {
  if (!told.has(table))
    logger.warn(
      "a table that an old LanceDB wrote is backed up without its indices, which cannot be listed; any commit to it heals that",
      { table: table.id },
    );
  told.add(table);
  return [];
}

const NAME_ANOTHER = advice`Name its key ${{ options: { primaryKey: null } }}, or leave the table out ${{ options: { tables: null } }}.`;

/** Fulls alone need no key; they name it where there is one. */
function keyOf(settings: PeriodicSettings, table: string, schema: Schema): readonly string[] {
  const key = settings.keyOf(table);
  if (settings.incremental) {
    assertKey(table, schema, key, NAME_ANOTHER);
    assertMergeable(table, schema, key);
    assertFilterable(table, schema, key);
  }
  const usable = key.every((name) =>
    schema.fields.some((field) => field.name === name && isKeyType(field.type)),
  );
  return usable ? key : [];
}

const LEAVE_OUT = advice`Leave the table out ${{ options: { tables: null } }}, or write its rows to one without that column.`;

/** Types that apache-arrow, by which LanceDB's client hands over rows, does not know, as Lance names them. */
const UNKNOWN_TO_ARROW = /^large_list/;

/**
 * Holds that a scan gives a table's columns as its schema states them.
 *
 * @throws UnsupportedError naming table and column.
 */
function assertReadable(table: string, schema: Schema): void {
  for (const field of schema.fields) {
    if (field.name === "" || field.name.includes("`")) {
      throw refusal(table, field.name, "whose name LanceDB does not accept in queries");
    }
    if (field.metadata.get("computed_column") === "true") {
      throw refusal(table, field.name, "that LanceDB computes, and does not accept values for");
    }
    if (blobColumnsOf({ fields: [field] }).unreadable.length > 0) {
      throw refusal(table, field.name, "that keeps blobs, whose bytes a scan does not give");
    }
    if (holdsJson(field)) {
      throw refusal(table, field.name, "of JSON, which LanceDB reads as another type than it states");
    }
  }
}

/** The error for a table whose schema could not be read; undefined where its columns' types are not why. */
function unreadableSchema(table: string, version: Manifest, cause: unknown): UnsupportedError | undefined {
  const odd = fieldsOf(version).find(({ type }) => UNKNOWN_TO_ARROW.test(type));
  if (odd === undefined) return undefined;
  return refusal(
    table,
    odd.path[0] ?? "",
    `of the type ${odd.type}, which LanceDB's client cannot read`,
    cause,
  );
}

function refusal(table: string, column: string, what: string, cause?: unknown): UnsupportedError {
  return new UnsupportedError(
    advice`The table ${table} has a column ${JSON.stringify(column)} ${what}: periodic files cannot hold it. ${LEAVE_OUT}`,
    { cause },
  );
}

function holdsJson(field: Field): boolean {
  const extension = field.metadata.get("ARROW:extension:name");
  return extension === "lance.json" || (field.type.children ?? []).some((child: Field) => holdsJson(child));
}

/** What LanceDB says of a full dictionary when it joins it with another, and of one that its own compaction has joined. */
const FULL_DICTIONARY = /dictionary key bigger than the key type|corrupt file dictionary/i;

/** Runs what reads a table for a backup; an error of LanceDB comes out with the table's name. */
export async function reading<T>(table: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (error instanceof BackupError || error instanceof PinLostError) throw error;
    const reason = reasonOf(error);
    if (FULL_DICTIONARY.test(reason)) {
      throw new UnsupportedError(
        advice`The table ${table} has a column whose dictionary has more entries than its keys can number, and LanceDB cannot read it: periodic files cannot hold it. Write its rows to a table with wider keys (int16, int32), or leave it out ${{ options: { tables: null } }}.`,
        { cause: error },
      );
    }
    throw new LanceError(`The table ${table} could not be read for a backup: ${reason}`, { cause: error });
  }
}

/** The pin of the version before is gone: only a full can go on. */
export class PinLostError extends Error {
  override readonly name = "PinLostError";
}
