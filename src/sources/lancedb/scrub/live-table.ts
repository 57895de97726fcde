import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import { CorruptError } from "../../../errors.ts";
import { ifThere } from "../../../fs/held-root.ts";
import { toIoError } from "../../../fs/io.ts";
import { HistoryFiles, pathsBelow } from "../../../lance/history-files.ts";
import { ReusedBuffer } from "../../../lance/image.ts";
import { listManifests, type ManifestName, manifestPath } from "../../../lance/manifest.ts";
import type { SnapshotFile } from "../snapshot-view.ts";
import { isSnapshots, judgeManifest, type Verdict } from "./judge-manifest.ts";

/** A live manifest that is damaged. */
interface DamagedManifest {
  readonly path: string;
  readonly version: number;
  readonly known: SnapshotFile | undefined;
  /** Why the snapshot's manifest must not take its place. */
  readonly refused: string | undefined;
}

/** What a live table says of itself, its damaged manifests in the snapshot's words where that is proved right. */
export interface LiveTable {
  /** Files that its versions need, with their sizes where a manifest tells. */
  readonly needed: ReadonlyMap<string, number | undefined>;
  readonly damagedManifests: readonly DamagedManifest[];
  /** Versions that can be read, newest first, and whose bytes say so. */
  readonly versions: readonly {
    readonly version: number;
    readonly path: string;
    readonly from: "live" | "snapshot";
  }[];
}

export interface TablePlace {
  readonly blobs: BlobStore;
  readonly id: string;
  /** Its directory, absolute. */
  readonly dataset: string;
  /** What the snapshot has of it, by path. */
  readonly known: ReadonlyMap<string, SnapshotFile>;
}

interface Unreadable {
  readonly name: ManifestName;
  readonly known: SnapshotFile;
  readonly verdict: Extract<Verdict, { kind: "unreadable" }>;
}

/**
 * Reads every manifest of a live table. @throws UnsupportedError where the table uses what cannot be captured.
 */
export async function readLiveTable(place: TablePlace, signal?: AbortSignal): Promise<LiveTable> {
  const reading = new LiveReading(place);
  for (const name of await listManifests(place.dataset)) {
    signal?.throwIfAborted();
    await reading.add(name);
  }
  return reading.finish();
}

class LiveReading {
  readonly #place: TablePlace;
  readonly #reader: HistoryFiles;
  readonly #needed = new Map<string, number | undefined>();
  readonly #damaged: DamagedManifest[] = [];
  readonly #versions: LiveTable["versions"][number][] = [];
  readonly #unreadable: Unreadable[] = [];
  /** The first takes the next manifest; the second holds the one that it is compared with. */
  readonly #buffers = [new ReusedBuffer(), new ReusedBuffer()];
  /** Whether other commits than the snapshot's stand under its numbers. */
  #isOther = false;

  constructor(place: TablePlace) {
    this.#place = place;
    this.#reader = new HistoryFiles(place.id, filesBelow(place.dataset, place.known.keys()));
  }

  async add(name: ManifestName): Promise<void> {
    const { blobs, dataset } = this.#place;
    const path = manifestPath(name.name);
    const known = this.#place.known.get(path);
    const bytes = this.#read(join(dataset, path));
    if (!bytes) return; // cleaned up meanwhile
    if (!known || isSnapshots(bytes, known)) {
      if (this.#list(bytes, name, "live")) this.#buffers.reverse();
      else this.#refuse(name, known, "the snapshot does not have this version");
      return;
    }
    const verdict = await judgeManifest(blobs, dataset, known, name.version, bytes);
    if (verdict.kind === "unreadable") this.#unreadable.push({ name, known, verdict });
    else if (verdict.kind === "damaged") this.#heal(name, known, verdict.sound);
    else {
      this.#isOther = true;
      if (this.#list(bytes, name, "live")) this.#buffers.reverse();
    }
  }

  finish(): LiveTable {
    for (const { name, known, verdict } of this.#unreadable) {
      const { sound, why } = verdict;
      if (sound && !this.#isOther && this.#hasFilesOf(sound, name)) this.#heal(name, known, sound);
      else {
        const anew =
          "the table may have been created again or restored since: the files of the snapshot's version are not all there, or other versions are not the snapshot's";
        this.#refuse(name, known, why || anew);
      }
    }
    this.#versions.sort((a, b) => b.version - a.version);
    return { needed: this.#needed, damagedManifests: this.#damaged, versions: this.#versions };
  }

  #heal(name: ManifestName, known: SnapshotFile, sound: Buffer): void {
    this.#damaged.push({ path: known.path, version: name.version, known, refused: undefined });
    this.#list(sound, name, "snapshot");
  }

  #refuse(name: ManifestName, known: SnapshotFile | undefined, refused: string): void {
    this.#damaged.push({ path: manifestPath(name.name), version: name.version, known, refused });
  }

  /** False where the bytes are no manifest. */
  #list(bytes: Buffer, name: ManifestName, from: "live" | "snapshot"): boolean {
    const path = manifestPath(name.name);
    try {
      for (const file of this.#reader.read(bytes, name.version, join(this.#place.dataset, path)).files) {
        this.#needed.set(file.path, file.size ?? this.#needed.get(file.path));
      }
    } catch (error) {
      if (error instanceof CorruptError) return false;
      throw error;
    }
    this.#versions.push({ version: name.version, path, from });
    return true;
  }

  /** Files of a version have names that no other table has, so where they are, the version was this table's. */
  #hasFilesOf(sound: Buffer, name: ManifestName): boolean {
    const { dataset, id, known } = this.#place;
    const own = new HistoryFiles(id, pathsBelow(known.keys()));
    const { files } = own.read(sound, name.version, manifestPath(name.name));
    return (
      files.length > 0 &&
      files.every(({ path }) => statSync(join(dataset, path), { throwIfNoEntry: false }) !== undefined)
    );
  }

  #read(path: string): Buffer | undefined {
    try {
      return ifThere(path, () => (this.#buffers[0] as ReusedBuffer).read(path));
    } catch (error) {
      throw toIoError(error, "read", path);
    }
  }
}

/** All files below a directory that are there or in the snapshot. */
function filesBelow(dataset: string, known: Iterable<string>): (directory: string) => readonly string[] {
  const inSnapshot = pathsBelow(known);
  const beside = new Set(
    list(dataset, "data")
      .filter((entry) => entry.isDirectory())
      .map((entry) => `data/${entry.name}`),
  );
  return (directory) => {
    if (directory.startsWith("data/") && !beside.has(directory)) return inSnapshot(directory);
    const there = list(dataset, directory, true)
      .filter((entry) => entry.isFile())
      .map((entry) =>
        join(entry.parentPath, entry.name)
          .slice(dataset.length + 1)
          .replaceAll("\\", "/"),
      );
    return [...new Set([...inSnapshot(directory), ...there])];
  };
}

function list(dataset: string, directory: string, recursive = false) {
  const path = join(dataset, directory);
  try {
    return ifThere(path, () => readdirSync(path, { withFileTypes: true, recursive })) ?? [];
  } catch (error) {
    throw toIoError(error, "list", path);
  }
}
