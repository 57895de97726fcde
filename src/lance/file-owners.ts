import { fromBinary, type UnknownField } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { hasTrueCounts, placeOf } from "./fragment-files.ts";
import type { Manifest } from "./manifest.ts";
import { fieldsOf } from "./manifest-fields.ts";
import { type DataFragment, DataFragmentSchema } from "./proto/lance_pb.ts";

/** What a file of a version holds, in the words of its table. */
export interface FileOwner {
  /** Undefined for an index. */
  readonly fragment?: FragmentPlace | undefined;
  /** The index's name. */
  readonly index?: string | undefined;
  /** Columns that are in it; nested ones with dots. None for deletions, which concern all. */
  readonly columns: readonly string[];
  /** Of a data file: the same, by the number that the column has in the file. */
  readonly byNumber?: ReadonlyMap<number, readonly string[]> | undefined;
}

/** All rows of a fragment, as one stretch; none where their number is unknown. */
export function allRowsOf(
  fragment: FragmentPlace | undefined,
): { fragment: number; first: number; last: number }[] {
  if (fragment?.rows === undefined) return [];
  return [{ fragment: fragment.id, first: 0, last: fragment.rows - 1 }];
}

interface FragmentPlace {
  readonly id: number;
  /** Offsets of its rows run from 0 to one below this; an address is `id * 2^32 + offset`. Unknown in old versions. */
  readonly rows: number | undefined;
}

/** Numbers of repeated fields in Lance's messages that our own .proto file leaves out. */
const DATA_FILE_FIELDS = 2;
const DATA_FILE_COLUMN_INDICES = 3;
const INDEX_FIELDS = 2;

/**
 * Finds out what files belong to: data and deletions of fragments, indices, and what lies beside a data file.
 *
 * @param paths relative to the dataset; those that the version does not name are not in the answer.
 */
export function findOwners(manifest: Manifest, paths: Iterable<string>): ReadonlyMap<string, FileOwner> {
  const wanted = new Set(paths);
  const names = fieldNames(manifest);
  const owners = new Map<string, FileOwner>();
  const inDirectory = (directory: string, owner: FileOwner) => {
    for (const path of wanted) if (path.startsWith(`${directory}/`)) owners.set(path, owner);
  };
  for (const bytes of manifest.message.fragments) {
    const message = fromBinary(DataFragmentSchema, bytes);
    const fragment = {
      id: Number(message.id),
      rows: hasTrueCounts(manifest) ? Number(message.physicalRows) : undefined,
    };
    for (const file of message.files) {
      const path = `data/${file.path}`;
      const stem = path.replace(/\.lance$/, "");
      const isWanted = wanted.has(path) || [...wanted].some((one) => one.startsWith(`${stem}/`));
      if (!isWanted) continue;
      const byNumber = columnsOf(file.$unknown, names);
      const columns = [...new Set([...byNumber.values()].flat())];
      if (wanted.has(path)) owners.set(path, { fragment, columns, byNumber });
      const blobColumns = columns.filter((name) => names.blobs.has(name));
      inDirectory(stem, { fragment, columns: blobColumns.length > 0 ? blobColumns : columns });
    }
    const deletions = deletionPath(message);
    if (deletions && wanted.has(deletions)) owners.set(deletions, { fragment, columns: [] });
  }
  for (const index of manifest.indices) {
    const columns = packed(index.$unknown, INDEX_FIELDS).map((id) => names.of(id));
    inDirectory(placeOf(index).directory, { index: index.name, columns });
  }
  return owners;
}

function deletionPath({ id, deletionFile }: DataFragment): string | undefined {
  const suffix = ["arrow", "bin"][deletionFile?.fileType ?? 0];
  return deletionFile && `_deletions/${id}-${deletionFile.readVersion}-${deletionFile.id}.${suffix}`;
}

function columnsOf(unknown: UnknownField[] | undefined, names: FieldNames): Map<number, string[]> {
  const fields = packed(unknown, DATA_FILE_FIELDS);
  const numbers = packed(unknown, DATA_FILE_COLUMN_INDICES);
  const columns = new Map<number, string[]>();
  fields.forEach((field, index) => {
    const number = numbers[index] ?? index;
    if (field < 0 || number < 0) return; // a dropped column, or a struct whose members have columns
    columns.set(number, [...(columns.get(number) ?? []), names.of(field)]);
  });
  return columns;
}

interface FieldNames {
  of(id: number): string;
  /** Columns whose large values lie beside their data file. */
  readonly blobs: ReadonlySet<string>;
}

function fieldNames(manifest: Manifest): FieldNames {
  const fields = fieldsOf(manifest).map(({ path, ...field }) => ({ ...field, name: path.join(".") }));
  const names = new Map(fields.map(({ id, name }) => [id, name]));
  const blobs = new Set(fields.filter(({ isBlob }) => isBlob).map(({ name }) => name));
  return { of: (id) => names.get(id) ?? `field ${id}`, blobs };
}

/** A repeated int32 that the message's schema does not know. */
function packed(unknown: UnknownField[] | undefined, number: number): number[] {
  return (unknown ?? [])
    .filter((field) => field.no === number)
    .flatMap(({ wireType, data }) => {
      const outer = new BinaryReader(data);
      const reader = wireType === WireType.LengthDelimited ? new BinaryReader(outer.bytes()) : outer;
      const values: number[] = [];
      while (reader.pos < reader.len) values.push(reader.int32());
      return values;
    });
}
