import { fromBinary, type UnknownField } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { CorruptError, UnsupportedError } from "../errors.ts";
import { assertInnerPath } from "../fs/safe-names.ts";
import type { Manifest } from "./manifest.ts";
import {
  type DataFile,
  type DataFragment,
  DataFragmentSchema,
  type ExternalFile,
  type IndexMetadata,
} from "./proto/lance_pb.ts";

/** A file that a version needs. `path` is relative to the dataset's directory, with forward slashes. */
export interface ImageFile {
  readonly path: string;
  /** Bytes; undefined where the manifest does not say. */
  readonly size: number | undefined;
  /** The index that it is part of: rows are whole without it. */
  readonly index?: IndexPlace | undefined;
}

export interface IndexPlace {
  readonly name: string;
  /** `_indices/<uuid>`, relative to the dataset. */
  readonly directory: string;
}

const DELETION_SUFFIX = ["arrow", "bin"];

export interface FragmentContents {
  readonly files: readonly ImageFile[];
  /** Without the deleted ones. NaN where it does not say. */
  readonly rows: number;
}

/** What fragments hold. A fragment met before, byte for byte, is not decoded again. */
export class FragmentFiles {
  readonly #known = new Map<string, FragmentContents>();

  of(bytes: Uint8Array, dataset: string, source: string): FragmentContents {
    const key = keyOf(bytes);
    let contents = this.#known.get(key);
    if (!contents) {
      const fragment = fromBinary(DataFragmentSchema, bytes);
      contents = { files: this.#list(fragment, dataset, source), rows: rowsOf(fragment) ?? Number.NaN };
      this.#known.set(key, contents);
    }
    return contents;
  }

  /** A path from a manifest, held to the dataset's directory. */
  checked(path: string, size: bigint, source: string): ImageFile {
    assertInnerPath(path, source);
    return { path, size: size === 0n ? undefined : Number(size) };
  }

  #list(fragment: DataFragment, dataset: string, source: string): ImageFile[] {
    if (fragment.overlays.length > 0) throw unsupported(dataset, "overlays");
    const files = fragment.files.map((file) => {
      if (file.baseId !== undefined) throw unsupported(dataset, "files under another base path");
      const size = isLegacyFile(file) ? 0n : file.fileSizeBytes; // wrong up to LanceDB 0.30 (docs/lance-facts.md)
      return this.checked(`data/${file.path}`, size, source);
    });
    const deletion = fragment.deletionFile;
    if (deletion) {
      if (deletion.baseId !== undefined) throw unsupported(dataset, "deletions under another base path");
      const suffix = DELETION_SUFFIX[deletion.fileType];
      if (!suffix)
        throw new CorruptError(`${source} names an unknown kind of deletion file.`, { path: source });
      files.push({
        path: `_deletions/${fragment.id}-${deletion.readVersion}-${deletion.id}.${suffix}`,
        size: undefined,
      });
    }
    const external: (ExternalFile | undefined)[] = [
      fragment.externalRowIds,
      fragment.externalLastUpdated,
      fragment.externalCreatedAt,
    ];
    for (const file of external) if (file) files.push(this.checked(file.path, 0n, source));
    return files;
  }
}

/** A text that is the same for the same bytes alone. */
function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** A fragment, and as its manifest has it. */
export interface EncodedFragment {
  readonly fragment: DataFragment;
  readonly bytes: Uint8Array;
}

/** The fragments of a version that another one does not have byte for byte, by id. */
export function fragmentsBeside({ message }: Manifest, other: Manifest): Map<number, EncodedFragment> {
  const same = new Set(other.message.fragments.map(keyOf));
  const found = message.fragments.filter((bytes) => !same.has(keyOf(bytes)));
  const decoded = found.map((bytes) => ({ fragment: fromBinary(DataFragmentSchema, bytes), bytes }));
  return new Map(decoded.map((one) => [Number(one.fragment.id), one]));
}

function unsupported(dataset: string, feature: string): UnsupportedError {
  return new UnsupportedError(`The table at ${dataset} uses ${feature}, which cannot be captured in full.`);
}

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

export function placeOf({ name, uuid }: IndexMetadata): IndexPlace {
  return { name, directory: `_indices/${formatUuid(uuid?.uuid ?? new Uint8Array())}` };
}

function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const DELETIONS = 1n;
const STABLE_ROW_IDS = 2n;
const V2_FORMAT = 4n;
const TABLE_CONFIG = 8n;
const MULTI_BASE = 16n;
const NO_TRANSACTION_FILES = 32n;
const OVERLAYS = 64n;
const COVERING_INDEXES = 128n;
const MIXED_FILE_VERSIONS = 256n;
const FRAGMENT_TREE = 512n;

/** Features that keep every byte of a version in files that the manifest names. */
const KNOWN =
  DELETIONS |
  STABLE_ROW_IDS |
  V2_FORMAT |
  TABLE_CONFIG |
  NO_TRANSACTION_FILES |
  COVERING_INDEXES |
  MIXED_FILE_VERSIONS;

const NAMES: readonly [bigint, string][] = [
  [MULTI_BASE, "several base paths (a shallow clone?)"],
  [OVERLAYS, "overlays"],
  [FRAGMENT_TREE, "a fragment tree"],
];

/** The index under which Lance keeps its write-ahead log: acknowledged rows outside every manifest. */
const LSM_INDEX = "__lance_mem_wal";

/**
 * Refuses a version that its file list does not describe in full: half a copy is worse than none.
 *
 * @throws UnsupportedError naming the table and the feature.
 */
export function assertCapturable(dataset: string, manifest: Manifest): void {
  const refuse = (feature: string): never => {
    throw new UnsupportedError(
      `The table at ${dataset} uses ${feature}, which cannot be captured in full. Leave the table out, or rewrite it without.`,
    );
  };
  const flags = manifest.message.readerFeatureFlags | manifest.message.writerFeatureFlags;
  for (const [flag, name] of NAMES) if ((flags & flag) !== 0n) refuse(name);
  if ((flags & ~KNOWN) !== 0n)
    refuse(`a Lance feature that this version does not know (flags ${flags & ~KNOWN})`);
  if (manifest.message.basePaths.length > 0) refuse("several base paths (a shallow clone?)");
  for (const index of manifest.indices) {
    if (index.name === LSM_INDEX) refuse("the LSM write path, which keeps rows outside every manifest");
    if (index.baseId !== undefined) refuse("an index under another base path");
  }
}
