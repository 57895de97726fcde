import { statSync } from "node:fs";
import { join } from "node:path";
import { assertRoot } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import { peekBackupFile, peekRows } from "../file/open.ts";
import type { FileHead } from "../file/types.ts";
import type { BackupFileName } from "./file-name.ts";

/** What a file says of itself, unchecked: its head, and its checksum. */
export interface KnownHead {
  readonly head: FileHead;
  readonly sha256: string;
}

/** What the files of a directory say of themselves; each is read once, as long as it stays the same file. */
export class Heads {
  readonly #directory: string;
  readonly #known = new Map<string, { readonly stamp: string; readonly head: KnownHead }>();
  readonly #rows = new Map<string, { readonly stamp: string; readonly rows: ReadonlyMap<string, number> }>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  /** @throws IoError, CorruptError where the file is missing or its head cannot be read. */
  async read(name: string): Promise<KnownHead> {
    const path = this.path(name);
    const stamp = stampOf(path);
    const known = this.#known.get(name);
    if (known?.stamp === stamp) return known.head;
    const { head, sha256 } = await peekBackupFile(path);
    this.#known.set(name, { stamp, head: { head, sha256 } });
    return { head, sha256 };
  }

  /**
   * How many rows the tables of a full have, by their ids.
   *
   * @throws IoError, CorruptError where the file is missing or its index cannot be read.
   */
  async rows(name: string): Promise<ReadonlyMap<string, number>> {
    const path = this.path(name);
    const stamp = stampOf(path);
    const known = this.#rows.get(name);
    if (known?.stamp === stamp) return known.rows;
    const rows = await peekRows(path);
    this.#rows.set(name, { stamp, rows });
    return rows;
  }

  /** Forgets files that are gone. */
  keepOnly(files: readonly BackupFileName[]): void {
    const names = new Set(files.map((file) => file.name));
    for (const known of [this.#known, this.#rows]) {
      for (const name of known.keys()) if (!names.has(name)) known.delete(name);
    }
  }
}

function stampOf(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch (error) {
    assertRoot(path);
    throw toIoError(error, "read", path);
  }
}
