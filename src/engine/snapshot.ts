/** That a snapshot is to stay, whatever the rules of retention say. */
export interface Pin {
  readonly since: Date;
  /** For people. */
  readonly reason?: string | undefined;
}

/** What a part of a snapshot is of. */
export interface SnapshotSource {
  /** Its kind: `lancedb`, or what a kind of source calls itself. */
  readonly type: string;
  /** Which one it was: the same on whatever host and by whatever path. Snapshots of one id belong together. */
  readonly id: string;
  /** Where it was, on `host`, when the snapshot was taken. Never with a password. */
  readonly uri: string;
  /** Who took the snapshot. For people alone: in containers it changes with every run. */
  readonly host: string;
}

/** A JSON object that a kind of source writes and reads. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** A blob that is not one whole file has at most so many bytes: it is hashed, encoded, sent and sent again from memory. */
export const BLOB_BYTES = 16 << 20;

/** A stretch of a blob's plain content. */
export interface Piece {
  /** The blob's name. */
  readonly blob: string;
  readonly offset: number;
  readonly bytes: number;
}

/** What a file is besides its bytes, for sources that have such things. */
export interface EntryAttributes {
  /** Permission bits. */
  readonly mode?: number | undefined;
  /** Milliseconds since 1970. */
  readonly mtimeMs?: number | undefined;
  /** What a symbolic link says. */
  readonly link?: string | undefined;
  readonly directory?: true | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Entries of a part that have the same number are one file under several names. */
  readonly hardLink?: number | undefined;
  /** Whether it had holes. */
  readonly sparse?: true | undefined;
  /** Extended attributes: values in base64 by name, in which `%` and two hexadecimal digits stand for a byte that is no text. */
  readonly xattrs?: Readonly<Record<string, string>> | undefined;
}

/** A file of a part. */
export interface StoredEntry {
  /** With forward slashes. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Of its whole content, hexadecimal. */
  readonly sha256: string;
  /** By this, its path and its size its source knows it again. */
  readonly stamp?: string | undefined;
  /** Where its bytes are; undefined: in one blob, whose name is `sha256`. */
  readonly pieces?: readonly Piece[] | undefined;
  readonly attributes?: EntryAttributes | undefined;
}

/** A part of a snapshot, as a listing knows it. */
export interface StoredPart {
  readonly source: SnapshotSource;
  readonly files: number;
  readonly bytes: number;
  /** What its kind says in a listing. */
  readonly about: JsonObject;
}

/** A part, whole. */
export interface PartContent extends StoredPart {
  /** What its kind says besides. */
  readonly details: JsonObject;
  /** In the order of their paths. */
  readonly entries: readonly StoredEntry[];
  /** Bytes of plain content of each blob of which entries have pieces, by its name. */
  readonly blobs: ReadonlyMap<string, number>;
}

/** A snapshot as a listing knows it, of whatever kinds of source. */
export interface StoredSnapshot {
  readonly id: string;
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly tags: readonly string[];
  /** That it is to stay, whatever the rules of retention say: said after it was taken. Absent where it is not pinned. */
  readonly pinned?: Pin | undefined;
  /** When all of it was captured. */
  readonly createdAt: Date;
  /** How long the backup took, milliseconds. */
  readonly durationMs: number;
  readonly files: number;
  readonly bytes: number;
  /** Entries and bytes that no earlier snapshot of the repository had. */
  readonly newFiles: number;
  readonly newBytes: number;
  /** Bytes of the objects that were written for them. */
  readonly storedBytes: number;
  readonly parts: readonly StoredPart[];
  /** Versions of what made it. */
  readonly software: { readonly lancedbBackup: string; readonly node: string };
}

/** What the document of a snapshot says. */
export interface StoredContent {
  readonly snapshot: StoredSnapshot & {
    /** SHA-256 that the document ends with. */
    readonly checksum: string;
  };
  /** In the order of `snapshot.parts`. */
  readonly parts: readonly PartContent[];
}

/** The pieces of an entry, also where it is one whole blob. */
export function piecesOfEntry({
  sha256,
  size,
  pieces,
}: Pick<StoredEntry, "sha256" | "size" | "pieces">): readonly Piece[] {
  return pieces ?? [{ blob: sha256, offset: 0, bytes: size }];
}

/** Bytes of plain content of each blob that a snapshot names, by its name. */
export function blobsOfContent({ parts }: Pick<StoredContent, "parts">): Map<string, number> {
  const blobs = new Map<string, number>();
  for (const part of parts) {
    for (const [name, bytes] of part.blobs) blobs.set(name, bytes);
    for (const { sha256, size, pieces } of part.entries) if (!pieces) blobs.set(sha256, size);
  }
  return blobs;
}
