import type { Schema } from "apache-arrow";
import { assertKey, isKeyType } from "../../arrow/row-key.ts";
import { CorruptError, UnsupportedError } from "../../errors.ts";
import type { Door } from "../../lance/door.ts";
import { assertAddressable } from "../../lance/lacking.ts";
import type { Manifest } from "../../lance/manifest.ts";
import { canListIndices } from "../../lance/old-versions.ts";
import { assertFilterable, assertMergeable } from "../../lance/row-delta/assert-usable.ts";
import { blobColumnsOf } from "../../lance/row-delta/blob-digests.ts";
import { openWithoutBroken } from "../../lance/without-broken-indices.ts";
import type { IndexRecord } from "../file/types.ts";
import { recordIndices } from "../indices.ts";
import type { PeriodicSettings } from "../options.ts";
import type { PinnedTable } from "../pins/document.ts";
import type { PinStore } from "../pins/pin-store.ts";
import { assertReadable, unreadableSchema } from "./assert-readable.ts";
import { reading } from "./reading.ts";

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
        `The table ${table.id} keeps blobs in its column ${JSON.stringify(blob)}, which periodic files cannot hold. Leave it out with the option tables.`,
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
      "a table that an old LanceDB wrote is backed up without its indices, which cannot be listed; any commit to it mends that",
      { table: table.id },
    );
  told.add(table);
  return [];
}

/** Fulls alone need no key; they name it where there is one. */
function keyOf(settings: PeriodicSettings, table: string, schema: Schema): readonly string[] {
  const key = settings.keyOf(table);
  if (settings.incremental) {
    assertKey(table, schema, key);
    assertMergeable(table, schema, key);
    assertFilterable(table, schema, key);
  }
  const usable = key.every((name) =>
    schema.fields.some((field) => field.name === name && isKeyType(field.type)),
  );
  return usable ? key : [];
}
