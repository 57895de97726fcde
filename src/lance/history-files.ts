import { type FragmentContents, FragmentFiles, type ImageFile, type IndexPlace } from "./fragment-files.ts";
import { assertCapturable, placeOf } from "./image.ts";
import {
  countOf,
  type FragmentRun,
  fragmentAt,
  isSameAt,
  isStartOf,
  type Manifest,
  parseManifestApart,
} from "./manifest.ts";

/** What a version adds to the list of files of the versions that were read before it. */
export interface UnseenFiles {
  /** Its message has no fragments. */
  readonly manifest: Manifest;
  /** Of the fragments that the version before did not have at the same place, and of all indices. */
  readonly files: readonly ImageFile[];
}

/**
 * Lists the files of many versions of one table from the bytes of their manifests, at the cost of what neighbouring
 * versions differ in: for datasets that lie on no disk, or of which a manifest is damaged. Each file comes with the
 * first version that has it, at least.
 */
export class HistoryFiles {
  readonly #name: string;
  readonly #below: (directory: string) => readonly string[];
  readonly #fragments = new FragmentFiles();
  #last: FragmentRun | undefined;

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
   * @param bytes of the manifest; they must not change before the call after the next.
   * @param source where they come from, for messages.
   * @throws CorruptError where the manifest is damaged. @throws UnsupportedError where it uses what cannot be captured.
   */
  read(bytes: Uint8Array, version: number, source: string): UnseenFiles {
    const { manifest, run } = parseManifestApart(bytes, version, source);
    assertCapturable(this.#name, manifest);
    const files: ImageFile[] = [];
    if (!this.#last || !isStartOf(run, this.#last)) {
      for (let index = 0; index < countOf(run); index++) {
        if (this.#last && isSameAt(index, run, this.#last)) continue;
        this.#addFragment(this.#fragments.of(fragmentAt(run, index), this.#name, source), files);
      }
    }
    this.#last = run;
    this.#addIndices(manifest, files, source);
    return { manifest, files };
  }

  #addFragment(contents: FragmentContents, files: ImageFile[]): void {
    for (const file of contents.files) {
      files.push(file);
      if (file.path.endsWith(".lance")) this.#addBelow(file.path.slice(0, -".lance".length), files);
    }
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
