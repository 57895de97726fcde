import { fromBinary } from "@bufbuild/protobuf";
import { CorruptError, UnsupportedError } from "../errors.ts";
import { assertInnerPath } from "../fs/names.ts";
import type { ImageFile } from "./image.ts";
import { isLegacyFile, rowsOf } from "./old-versions.ts";
import { type DataFragment, DataFragmentSchema, type ExternalFile } from "./proto/lance_pb.ts";

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
    const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
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

function unsupported(dataset: string, feature: string): UnsupportedError {
  return new UnsupportedError(`The table at ${dataset} uses ${feature}, which cannot be captured in full.`);
}
