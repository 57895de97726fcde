import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { leaserOf } from "../engine/lease/leaser.ts";
import type { JsonObject } from "../engine/snapshot.ts";
import { CorruptError, LockedError, UnsupportedError } from "../errors.ts";
import { makeDirectory } from "../fs/directory-tree.ts";
import { writeFileDurably } from "../fs/durable.ts";
import { Fields } from "../fs/fields.ts";
import { isMissing, toIoError } from "../fs/io.ts";
import { assertInnerPath } from "../fs/safe-names.ts";
import type { Logger } from "../logger.ts";
import { LocalStorage } from "../storage/local-storage.ts";
import { BackupFormat, DUMP_TYPES, type DumpType } from "./backup-format.ts";

// docs/formats.md, *Dumps as plain files*.

/** What the manifest says of one dump. */
export interface DumpRecord {
  readonly id: string;
  readonly name: string;
  readonly timestamp: Date;
  readonly type: DumpType;
  readonly format: BackupFormat;
  readonly databaseName: string;
  /** Without a password. */
  readonly databaseUrl: string;
  /** Its file or directory in the backup directory. */
  readonly file: string;
  readonly sizeBytes: number;
  readonly checksum: string;
  /** Whether the file is packed by gzip. */
  readonly gzip: boolean;
  /** Of what is in the file, unpacked; of a directory nothing. */
  readonly content?: { readonly bytes: number; readonly sha256: string } | undefined;
  /** What its kind needs to restore it. */
  readonly details: JsonObject;
}

const MANIFEST = "backup_manifest.json";

/** Where the leases are of those who change the manifest. */
const LOCK_DIRECTORY = ".backup_manifest";

const FORMAT = 1;

export interface ManifestOptions {
  readonly logger: Logger;
  /** How long to wait for other writers, milliseconds. */
  readonly lockTimeoutMs: number;
}

/** The list of a directory's dumps: one file, replaced as a whole by one process at a time. */
export class BackupManifest {
  readonly directory: string;
  readonly #path: string;
  readonly #options: ManifestOptions;

  constructor(directory: string, options: ManifestOptions) {
    this.directory = directory;
    this.#path = join(directory, MANIFEST);
    this.#options = options;
  }

  /** The oldest first. @throws CorruptError, UnsupportedError, IoError */
  read(): DumpRecord[] {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if (isMissing(error)) return [];
      throw toIoError(error, "read", this.#path);
    }
    const fields = new Fields(this.#parse(text), this.#path, "manifest");
    if (fields.count("format") !== FORMAT) {
      throw new UnsupportedError(
        `${this.#path} is of format ${fields.count("format")}, which a newer version of this package has written.`,
      );
    }
    return fields.objects("backups").map((record) => this.#recordFrom(record));
  }

  /**
   * Changes the list, alone. What `change` does to files is done before the list says it; where it throws, the list stays.
   *
   * @throws LockedError where other writers do not end in time
   */
  async update<T>(
    change: (records: readonly DumpRecord[]) => {
      readonly records: readonly DumpRecord[];
      readonly result: T;
    },
    signal?: AbortSignal,
  ): Promise<T> {
    const { logger, lockTimeoutMs: timeoutMs } = this.#options;
    makeDirectory(this.directory);
    const lock = join(this.directory, LOCK_DIRECTORY);
    try {
      mkdirSync(lock, { recursive: true });
    } catch (error) {
      throw toIoError(error, "make directory", lock);
    }
    await using lease = await leaserOf(new LocalStorage(lock), { logger })
      .acquire("exclusive", { signal, timeoutMs })
      .catch((error: unknown) => {
        if (!(error instanceof LockedError)) throw error;
        throw new LockedError(
          `The backups in ${this.directory} are being changed by others: ${error.message}`,
          {
            cause: error,
          },
        );
      });
    const { records, result } = change(this.read());
    await lease.assertHeld();
    await writeFileDurably(this.#path, this.#textOf(records));
    return result;
  }

  #textOf(records: readonly DumpRecord[]): string {
    const backups = records.map(({ timestamp, ...record }) => ({
      ...record,
      timestamp: timestamp.toISOString(),
    }));
    return `${JSON.stringify({ format: FORMAT, backups }, undefined, 2)}\n`;
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new CorruptError(
        `${this.#path} is damaged: it is not JSON. Nothing was changed; the dumps beside it are whole.`,
        { cause: error, path: this.#path },
      );
    }
  }

  #recordFrom(fields: Fields): DumpRecord {
    const file = fields.text("file");
    assertInnerPath(file, this.#path);
    const content = fields.optionalObject("content");
    return {
      id: fields.text("id"),
      name: fields.text("name"),
      timestamp: fields.date("timestamp"),
      type: fields.oneOf("type", DUMP_TYPES),
      format: fields.oneOf("format", Object.values(BackupFormat)),
      databaseName: fields.text("databaseName"),
      databaseUrl: fields.text("databaseUrl"),
      file,
      sizeBytes: fields.count("sizeBytes"),
      checksum: fields.digest("checksum"),
      gzip: fields.optionalFlag("gzip"),
      ...(content && { content: contentFrom(content) }),
      details: fields.record("details"),
    };
  }
}

function contentFrom(fields: Fields): { bytes: number; sha256: string } {
  return { bytes: fields.count("bytes"), sha256: fields.digest("sha256") };
}
