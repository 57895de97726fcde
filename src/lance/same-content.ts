import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Manifest } from "./manifest.ts";

/** What a message says of one of its fields: the name to compare it by, and its bytes. */
type Ignored = (number: number, record: Uint8Array) => boolean;

/** How a message is compared: what is left out of it, and which of its fields are messages of these kinds. */
interface Kind {
  readonly ignored: Ignored;
  readonly messages?: Readonly<Record<number, Kind>>;
}

/**
 * What LanceDB changes in a version that it commits again, though the version stays the same (docs/lance-facts.md): it
 * fills in what an older one did not note of a file or noted wrongly, and leaves out what it does not know any more.
 * Everything else counts, also what this code does not know.
 */
const FIELD: Kind = { ignored: (number, record) => number === 11 && isStorageClassDefault(record) };
/** file_size_bytes */
const DATA_FILE: Kind = { ignored: (number) => number === 6 };
/** num_deleted_rows */
const DELETION_FILE: Kind = { ignored: (number) => number === 4 };
/** physical_rows */
const FRAGMENT: Kind = { ignored: (number) => number === 4, messages: { 2: DATA_FILE, 3: DELETION_FILE } };

/** Whether two versions hold the same rows, columns, indices and settings; times and numbers aside. */
export function sameContent(a: Manifest, b: Manifest): boolean {
  const [x, y] = [a.message, b.message];
  return (
    sameMessages(x.fragments, y.fragments, FRAGMENT) &&
    sameFields(a, b) &&
    sameList(inOrder(x.schemaMetadata), inOrder(y.schemaMetadata)) &&
    sameList(inOrder(x.config), inOrder(y.config)) &&
    sameList(inOrder(x.tableMetadata), inOrder(y.tableMetadata)) &&
    sameList(inOrder(indexIds(a)), inOrder(indexIds(b)))
  );
}

/** Whether two versions describe the same columns. */
export function sameFields({ message: a }: Manifest, { message: b }: Manifest): boolean {
  return sameMessages(a.fields, b.fields, FIELD);
}

/** Fields of a fragment that say nothing of its data files: deletions, counts, row ids and versions of rows. */
const NOT_OF_DATA = new Set([3, 4, 5, 6, 7, 8, 9, 10]);
const DATA: Kind = { ignored: (number) => NOT_OF_DATA.has(number), messages: { 2: DATA_FILE } };

/** Whether two fragments, as manifests have them, lie in the same data files, whatever was deleted of them. */
export function sameDataFiles(a: Uint8Array, b: Uint8Array): boolean {
  return sameMessage(a, b, DATA);
}

function sameMessages(a: readonly Uint8Array[], b: readonly Uint8Array[], kind: Kind): boolean {
  return (
    a.length === b.length &&
    a.every((message, index) => sameMessage(message, b[index] ?? new Uint8Array(), kind))
  );
}

function sameMessage(a: Uint8Array, b: Uint8Array, kind: Kind): boolean {
  if (Buffer.compare(a, b) === 0) return true;
  return Buffer.compare(normal(a, kind), normal(b, kind)) === 0;
}

/**
 * What counts of a message, its records by their bytes: maps are written in another order at each commit, and lists of
 * messages (a fragment's files) name what is in them, so that their order says nothing.
 */
function normal(message: Uint8Array, kind: Kind): Buffer {
  const reader = new BinaryReader(message);
  const records: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, type] = reader.tag();
    const body = reader.pos;
    reader.skip(type, number);
    const inner = type === WireType.LengthDelimited ? kind.messages?.[number] : undefined;
    if (kind.ignored(number, message.subarray(body, reader.pos))) continue;
    if (inner) {
      reader.pos = body;
      records.push(Buffer.concat([Uint8Array.of(number), normal(reader.bytes(), inner)]));
    } else records.push(message.subarray(start, reader.pos));
  }
  return Buffer.concat(records.sort(Buffer.compare));
}

function isStorageClassDefault(value: Uint8Array): boolean {
  return Buffer.from(value.subarray(1)).toString("latin1") === "default";
}

function indexIds(manifest: Manifest): Uint8Array[] {
  return manifest.indices.map((index) => index.uuid?.uuid ?? new Uint8Array());
}

function inOrder(list: readonly Uint8Array[]): Uint8Array[] {
  return list.toSorted(Buffer.compare);
}

function sameList(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return (
    a.length === b.length &&
    a.every((bytes, index) => Buffer.compare(bytes, b[index] ?? new Uint8Array()) === 0)
  );
}
