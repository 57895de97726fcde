import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Manifest } from "./manifest.ts";

/**
 * Whether two versions describe the same columns. A column's metadata is a map, which Lance writes in another order
 * at each commit (docs/lance-facts.md): byte by byte the same columns differ.
 */
export function sameFields({ message: a }: Manifest, { message: b }: Manifest): boolean {
  return (
    a.fields.length === b.fields.length &&
    a.fields.every((field, index) => isSameField(field, b.fields[index] ?? new Uint8Array()))
  );
}

function isSameField(a: Uint8Array, b: Uint8Array): boolean {
  if (Buffer.compare(a, b) === 0) return true;
  return a.length === b.length && Buffer.compare(inOrder(a), inOrder(b)) === 0;
}

/** A message's records by their bytes: nothing of a field but entries of maps stands in it more than once. */
function inOrder(message: Uint8Array): Buffer {
  const reader = new BinaryReader(message);
  const records: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, type] = reader.tag();
    reader.skip(type, number);
    records.push(message.subarray(start, reader.pos));
  }
  return Buffer.concat(records.sort(Buffer.compare));
}
