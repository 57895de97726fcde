import { createHash } from "node:crypto";
import type { BlobStore } from "../../engine/blobs/blob-store.ts";
import { blobName } from "../../engine/format/names.ts";
import type { PartContent, StoredContent } from "../../engine/snapshot.ts";
import type { BlobState } from "../../engine/verify/blob-survey.ts";
import { isThere, problemOf } from "../../engine/verify/integrity.ts";
import { failed, type Problem, passed, type VerificationResult } from "../../engine/verify/result.ts";
import { BackupError } from "../../errors.ts";
import { isLeftOut } from "../../lance/broken-indices.ts";
import { HistoryFiles, pathsBelow } from "../../lance/history-files.ts";
import { ReusedBuffer } from "../../lance/image.ts";
import { parseManifestName, VERSIONS } from "../../lance/manifest.ts";
import { counted } from "../../util/format.ts";
import { LANCEDB_KIND } from "./lancedb-part.ts";
import { contentView, type SnapshotFile, type SnapshotTableDetails } from "./snapshot-view.ts";

interface ManifestFile extends SnapshotFile {
  readonly version: number;
}

/** A table of a snapshot that was found complete: what it is known to have. */
interface Proven {
  readonly manifests: ReadonlySet<string>;
  readonly files: readonly SnapshotFile[];
}

/**
 * Checks that snapshots have every file that each of their manifests names, with its size. Given snapshots in the
 * order of their times, it reads a manifest that several share once.
 */
export class CompletenessCheck {
  readonly #blobs: BlobStore;
  readonly #states: ReadonlyMap<string, BlobState>;
  readonly #signal: AbortSignal | undefined;
  readonly #proven = new Map<string, Proven>();
  /** The first takes the next manifest; the second holds the one that it is compared with. */
  readonly #buffers = [new ReusedBuffer(), new ReusedBuffer()];

  constructor(blobs: BlobStore, states: ReadonlyMap<string, BlobState>, signal: AbortSignal | undefined) {
    this.#blobs = blobs;
    this.#states = states;
    this.#signal = signal;
  }

  /** Undefined for what is no LanceDB database. */
  async check(stored: StoredContent, part: PartContent): Promise<VerificationResult | undefined> {
    if (part.source.type !== LANCEDB_KIND.type) return undefined;
    const content = contentView(stored, ({ id }) => id === part.source.id);
    const { id, tables } = content.snapshot;
    const problems: Problem[] = [];
    let versions = 0;
    for (const table of tables) {
      versions += table.versions.length;
      const files = content.files.get(table.directory) ?? [];
      for (const problem of this.#missing(table, files)) problems.push(problem);
      for (const problem of await this.#lacking(table, files)) problems.push(problem);
    }
    const looked = `${counted(versions, "version")} of ${counted(tables.length, "table")}`;
    if (problems.length > 0) return failed(id, "completeness", `${looked} are not all there`, problems);
    return passed(id, "completeness", `${looked}: every file that a manifest names is there, with its size.`);
  }

  /** Files of the list whose blobs are not there. */
  #missing(table: SnapshotTableDetails, files: readonly SnapshotFile[]): Problem[] {
    return files
      .filter((file) => !isThere(this.#blobs, file, this.#states))
      .map((file) => problemOf(this.#blobs, { table: table.id, ...file }, this.#states))
      .filter((problem) => problem !== undefined);
  }

  /** What manifests name and the list has not. */
  async #lacking(table: SnapshotTableDetails, files: readonly SnapshotFile[]): Promise<Problem[]> {
    const manifests = manifestsOf(files);
    const problems = this.#versionsLacking(table, manifests);
    const known = this.#knownOf(table.directory, files);
    const sizes = new Map(files.map((file) => [file.path, file.size]));
    const reader = new HistoryFiles(table.id, pathsBelow(sizes.keys()));
    for (const manifest of manifests) {
      if (known.has(manifest.sha256) || !isThere(this.#blobs, manifest, this.#states)) continue;
      this.#signal?.throwIfAborted();
      problems.push(...(await this.#lackingOf(manifest, table, reader, sizes)));
    }
    if (problems.length === 0) {
      const proven = new Set(manifests.map(({ sha256 }) => sha256));
      this.#proven.set(table.directory, { manifests: proven, files });
    }
    return problems;
  }

  /** Manifests of which a snapshot before was found to have all files, where this one has these files, too. */
  #knownOf(directory: string, files: readonly SnapshotFile[]): ReadonlySet<string> {
    const proven = this.#proven.get(directory);
    if (!proven) return new Set();
    const here = new Set(files.map(({ path, size }) => `${size} ${path}`));
    return proven.files.every(({ path, size }) => here.has(`${size} ${path}`)) ? proven.manifests : new Set();
  }

  #versionsLacking(table: SnapshotTableDetails, manifests: readonly ManifestFile[]): Problem[] {
    const path = this.#blobs.storage.location;
    const there = new Set(manifests.map(({ version }) => version));
    const problems = table.versions
      .filter(({ version }) => !there.has(version))
      .map(({ version }) => ({
        what: `${table.id}: version ${version} has no manifest in the snapshot`,
        path,
      }));
    const newest = manifests[0];
    if (newest?.version === table.version && newest.sha256 !== table.digest) {
      problems.push({
        what: `${table.id}: the manifest of version ${table.version} is not the one captured`,
        path,
      });
    }
    return problems;
  }

  async #lackingOf(
    manifest: ManifestFile,
    { id: table, leftOut }: SnapshotTableDetails,
    reader: HistoryFiles,
    sizes: ReadonlyMap<string, number>,
  ): Promise<Problem[]> {
    const name = blobName(manifest.sha256);
    const path = `${this.#blobs.storage.location}/${name}`;
    const say = (how: string, cause?: BackupError): Problem => ({
      what: `${table}: version ${manifest.version} ${how}`,
      path,
      cause,
    });
    try {
      const bytes = await this.#read(manifest, table);
      if (bytes === undefined) return [say(`cannot be checked: its manifest (${name}) is damaged`)];
      const { files } = reader.read(bytes, manifest.version, `${manifest.path} (${name})`);
      this.#buffers.reverse();
      return files
        .filter(({ index }) => !(index && isLeftOut(leftOut, index)))
        .filter(
          (file) => !(sizes.has(file.path) && (file.size ?? sizes.get(file.path)) === sizes.get(file.path)),
        )
        .map((file) => {
          const found = sizes.get(file.path);
          return say(
            found === undefined
              ? `needs ${file.path}, which is not in the snapshot`
              : `needs ${file.path} with ${file.size} bytes, and the snapshot has it with ${found}`,
          );
        });
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      return [say(`cannot be checked: ${error.message}`, error)];
    }
  }

  /** A manifest's bytes, in the first buffer; undefined where they are not what its blob's name says. */
  async #read(manifest: ManifestFile, table: string): Promise<Buffer | undefined> {
    const { sha256, size } = manifest;
    const path = this.#blobs.fileOf(manifest);
    const bytes =
      path === undefined
        ? await this.#blobs.readWhole({ table, ...manifest }, this.#signal)
        : (this.#buffers[0] as ReusedBuffer).read(path);
    if (bytes.length !== size) return undefined;
    const known = manifest.pieces ? undefined : this.#states.get(sha256)?.sha256;
    return (known ?? createHash("sha256").update(bytes).digest("hex")) === sha256 ? bytes : undefined;
  }
}

/** Newest first, which is the order in which neighbours share most. */
function manifestsOf(files: readonly SnapshotFile[]): ManifestFile[] {
  return files
    .flatMap((file) => {
      const isManifest = file.path.startsWith(`${VERSIONS}/`);
      const name = isManifest ? parseManifestName(file.path.slice(VERSIONS.length + 1)) : undefined;
      return name ? [{ ...file, version: name.version }] : [];
    })
    .sort((a, b) => b.version - a.version);
}
