import { fromBinary, type UnknownField } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Manifest } from "./manifest.ts";
import { type DataFile, type DataFragment, DataFragmentSchema } from "./proto/lance_pb.ts";

// What versions that an old LanceDB wrote do not say, or say wrongly (docs/lance-facts.md, *Tables of older versions*).

/** Rows of a fragment that are not deleted; undefined where it does not say, as Lance before 0.8 did not. */
export function rowsOf({ physicalRows, deletionFile, files }: DataFragment): number | undefined {
  if (physicalRows === 0n && files.length > 0) return undefined;
  if (deletionFile?.numDeletedRows === 0n) return undefined;
  return Number(physicalRows - (deletionFile?.numDeletedRows ?? 0n));
}

/** The field of Lance's `Manifest` that names what wrote it. */
const WRITER_VERSION = 13;

/** Whether a version's counts of rows can be believed: those that do not say what wrote them are wrong at times. */
export function hasTrueCounts({ message }: Manifest): boolean {
  return message.$unknown?.some(({ no }) => no === WRITER_VERSION) ?? false;
}

/** Whether a fragment says how many rows and bytes it has: where it does not, LanceDB notes them when it commits. */
export function isCounted(bytes: Uint8Array): boolean {
  const fragment = fromBinary(DataFragmentSchema, bytes);
  return rowsOf(fragment) !== undefined && fragment.files.every((file) => file.fileSizeBytes !== 0n);
}

/** Numbers of fields of Lance's `DataFile`: the format's version. */
const MAJOR = 4;
const MINOR = 5;

/** Whether a data file is of the format from before 2.0, which is versions 0.0 to 0.2. */
export function isLegacyFile({ $unknown: fields }: DataFile): boolean {
  return numberAt(fields, MAJOR) === 0 && numberAt(fields, MINOR) < 3;
}

function numberAt(fields: UnknownField[] | undefined, number: number): number {
  const field = fields?.findLast(({ no }) => no === number);
  return field ? new BinaryReader(field.data).uint32() : 0;
}

/** The field of Lance's `IndexMetadata` that says which fragments an index covers. */
const FRAGMENT_BITMAP = 5;

/** Whether LanceDB can list a version's indices: not where rows are not counted, or an index does not say what it covers. */
export function canListIndices({ message, indices }: Manifest): boolean {
  const isCountedInRows = (bytes: Uint8Array) => rowsOf(fromBinary(DataFragmentSchema, bytes)) !== undefined;
  const saysWhatItCovers = ({ $unknown }: (typeof indices)[number]) =>
    $unknown?.some(({ no }) => no === FRAGMENT_BITMAP) ?? false;
  return (
    indices.every(saysWhatItCovers) && (indices.length === 0 || message.fragments.every(isCountedInRows))
  );
}
