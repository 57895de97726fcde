import {
  assertCapturable,
  FragmentFiles,
  hasTrueCounts,
  type ImageFile,
  type IndexPlace,
  placeOf,
} from "./fragment-files.ts";
import {
  countOf,
  type FragmentRun,
  fragmentAt,
  isSameAt,
  isStartOf,
  type Manifest,
  parseManifestApart,
} from "./manifest.ts";

export interface ListedFiles {
  /** Everything but the manifest itself: data, deletions, indices, row ids, blob sidecars. */
  readonly files: readonly ImageFile[];
  /** Undefined where the manifest does not say: what Lance before 0.8.15 noted is missing or wrong. */
  readonly rows: number | undefined;
}

/**
 * What a version adds to the list of files of the versions that were read before it: of the fragments that the version
 * before did not have at the same place, and of all indices.
 */
export interface UnseenFiles extends ListedFiles {
  /** Its message has no fragments. */
  readonly manifest: Manifest;
}

/**
 * Lists the files of many versions of one table from their manifests, at the cost of what neighbouring versions differ
 * in; also for datasets that lie on no disk, or of which a manifest is damaged. Each file comes with the first version
 * that has it, at least.
 */
export class HistoryFiles {
  readonly #name: string;
  readonly #below: (directory: string) => readonly string[];
  readonly #fragments = new FragmentFiles();
  /** The fragments of the version that `read` read last, and their rows, added up. */
  #last: { readonly run: FragmentRun; readonly rowsBefore: readonly number[] } | undefined;

  /**
   * @param name the table's, for messages.
   * @param below all paths there are below a directory: no manifest names what lies beside a data file
   * (docs/lance-facts.md), nor the files of some indices.
   */
  constructor(name: string, below: (directory: string) => readonly string[]) {
    this.#name = name;
    this.#below = below;
  }

  /**
   * All files of a version, whatever was read before.
   *
   * @param source where the manifest comes from, for messages.
   * @throws CorruptError where it is damaged. @throws UnsupportedError where it uses what cannot be captured.
   */
  all(manifest: Manifest, source: string): ListedFiles {
    assertCapturable(this.#name, manifest);
    const files: ImageFile[] = [];
    let rows = 0;
    for (const bytes of manifest.message.fragments) rows += this.#addFragment(bytes, files, source);
    this.#addIndices(manifest, files, source);
    return { files, rows: trusted(rows, manifest) };
  }

  /**
   * @param bytes of the manifest; they must not change before the call after the next.
   * @param source where they come from, for messages.
   * @throws CorruptError where the manifest is damaged. @throws UnsupportedError where it uses what cannot be captured.
   */
  read(bytes: Uint8Array, version: number, source: string): UnseenFiles {
    const { manifest, run } = parseManifestApart(bytes, version, source);
    assertCapturable(this.#name, manifest);
    const files: ImageFile[] = [];
    const isSeen = this.#last !== undefined && isStartOf(run, this.#last.run);
    const rowsBefore = (isSeen && this.#last?.rowsBefore) || this.#addUnseen(run, files, source);
    this.#addIndices(manifest, files, source);
    this.#last = { run, rowsBefore };
    return { manifest, files, rows: trusted(rowsBefore[countOf(run)] ?? 0, manifest) };
  }

  /** The next version is listed whole. */
  forget(): void {
    this.#last = undefined;
  }

  #addUnseen(run: FragmentRun, files: ImageFile[], source: string): number[] {
    const last = this.#last;
    const rowsBefore = [0];
    let rows = 0;
    for (let index = 0; index < countOf(run); index++) {
      if (last && isSameAt(index, run, last.run)) {
        rows += (last.rowsBefore[index + 1] ?? 0) - (last.rowsBefore[index] ?? 0);
      } else rows += this.#addFragment(fragmentAt(run, index), files, source);
      rowsBefore.push(rows);
    }
    return rowsBefore;
  }

  /** Directories beside data files hold large blobs. Answers with the fragment's rows. */
  #addFragment(bytes: Uint8Array, files: ImageFile[], source: string): number {
    const contents = this.#fragments.of(bytes, this.#name, source);
    for (const file of contents.files) {
      files.push(file);
      if (file.path.endsWith(".lance")) this.#addBelow(file.path.slice(0, -".lance".length), files);
    }
    return contents.rows;
  }

  #addIndices(manifest: Manifest, files: ImageFile[], source: string): void {
    for (const index of manifest.indices) {
      const place = placeOf(index);
      if (index.files.length === 0) this.#addBelow(place.directory, files, place);
      for (const { path, sizeBytes } of index.files) {
        const file = this.#fragments.checked(`${place.directory}/${path}`, sizeBytes, source);
        files.push({ ...file, index: place });
      }
    }
  }

  #addBelow(directory: string, files: ImageFile[], index?: IndexPlace): void {
    for (const path of this.#below(directory)) files.push({ path, size: undefined, index });
  }
}

function trusted(rows: number, manifest: Manifest): number | undefined {
  return Number.isNaN(rows) || !hasTrueCounts(manifest) ? undefined : rows;
}

/** Answers with the paths of a list that lie below a directory, at any depth. */
export function pathsBelow(paths: Iterable<string>): (directory: string) => readonly string[] {
  const byDirectory = new Map<string, string[]>();
  for (const path of paths) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const directory = path.slice(0, end);
      const list = byDirectory.get(directory);
      if (list) list.push(path);
      else byDirectory.set(directory, [path]);
    }
  }
  return (directory) => byDirectory.get(directory) ?? [];
}
