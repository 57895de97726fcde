import type { Schema } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { Problem } from "../problem.ts";
import { nameFields } from "../rebuild.ts";
import { assertColumns } from "../signature.ts";
import { FlatReader, type FlatTable } from "./flatbuffer.ts";

/** Types in the numbering of Arrow's flatbuffers that have something of variable size in their parameters. */
const TIMESTAMP = 10;
const UNION = 14;

/** A schema as an encapsulated Arrow IPC message: marker, length, metadata. A multiple of 8 bytes. */
export function encodeSchema(schema: Schema): Uint8Array {
  return encapsulate(arrow.Message.encode(arrow.Message.from(schema)));
}

/** Puts marker and length before an IPC message's metadata, and pads it to a multiple of 8 bytes. */
export function encapsulate(metadata: Uint8Array): Uint8Array {
  const size = (metadata.byteLength + 7) & ~7;
  const message = new Uint8Array(8 + size);
  const view = new DataView(message.buffer);
  view.setInt32(0, -1, true);
  view.setInt32(4, size, true);
  message.set(metadata, 8);
  return message;
}

/**
 * The schema in an IPC message.
 *
 * @throws Problem where it is no such message, or its types and names are none that a table can have.
 */
export function decodeSchema(message: Uint8Array): Schema {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (
    message.byteLength < 16 ||
    view.getInt32(0, true) !== -1 ||
    view.getInt32(4, true) !== message.byteLength - 8
  ) {
    throw new Problem("its schema is no Arrow schema message");
  }
  const metadata = message.subarray(8);
  verify(metadata);
  const schema = readNamed(message);
  assertColumns(schema);
  return schema;
}

function readNamed(message: Uint8Array): Schema {
  let schema: Schema | null | undefined;
  try {
    schema = new arrow.MessageReader(message).readSchema();
    if (schema) return nameFields(schema);
  } catch (error) {
    throw new Problem("its schema cannot be read", { cause: error });
  }
  throw new Problem("its schema is missing");
}

/** Walks all that apache-arrow will walk, whose own reader follows every offset and count blindly. */
function verify(metadata: Uint8Array): void {
  const message = new FlatReader(metadata).root();
  if (message.uint8(1) !== arrow.MessageHeader.Schema) throw new Problem("a schema message was expected");
  const schema = message.table(2);
  if (schema === undefined) throw new Problem("its schema is missing");
  if (schema.uint8(0) !== 0) throw new Problem("its numbers are big-endian");
  for (const field of schema.tables(1)) verifyField(field);
  verifyMetadata(schema, 2);
}

function verifyField(field: FlatTable): void {
  field.vector(0, 1);
  const type = field.uint8(2);
  if (type === UNION) throw new Problem("it has a column of a union type");
  const parameters = field.table(3);
  if (type === TIMESTAMP) parameters?.vector(1, 1);
  field.table(4)?.table(1);
  for (const child of field.tables(5)) verifyField(child);
  verifyMetadata(field, 6);
}

function verifyMetadata(table: FlatTable, slot: number): void {
  for (const entry of table.tables(slot)) {
    entry.vector(0, 1);
    entry.vector(1, 1);
  }
}
