import { randomBytes } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BackupNotFoundError, ValidationError } from "../errors.ts";
import { makeDirectory } from "../fs/directory-tree.ts";
import { syncDirectory } from "../fs/durable.ts";
import { io, toIoError } from "../fs/io.ts";
import { localPath } from "../fs/local-path.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import type { BackupMetadata, DumpType } from "./backup-format.ts";
import { BackupManifest, type DumpRecord } from "./backup-manifest.ts";
import { assertWhole, removeUnfinished, sealDirectory, unfinishedName, writeDump } from "./dump-files.ts";
import { DUMP_KINDS, type DumpKind, type DumpOptions, type RestoreOptions } from "./dump-kinds.ts";

export interface DirectoryOptions {
  readonly logger?: Logger | undefined;
  readonly lockTimeoutMs?: number | undefined;
}

export interface MakeRequest extends Omit<DumpOptions, "lockTimeoutMs"> {
  readonly kind: DumpKind;
  readonly url: string;
  /** Default: the database's. */
  readonly name?: string | undefined;
  readonly gzip: boolean;
}

const DEFAULT_LOCK_TIMEOUT_MS = 30_000;
const DAY_MS = 86_400_000;

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/;

/** Dumps as plain files in a directory, and their manifest. */
export class DumpDirectory {
  readonly path: string;
  readonly lockTimeoutMs: number;
  readonly #manifest: BackupManifest;
  readonly #logger: Logger;

  constructor(path: string, options: DirectoryOptions = {}) {
    const { logger = defaultLogger(), lockTimeoutMs = DEFAULT_LOCK_TIMEOUT_MS } = options;
    this.path = localPath(path, "backupDir");
    this.lockTimeoutMs = lockTimeoutMs;
    this.#logger = logger;
    this.#manifest = new BackupManifest(this.path, { logger, lockTimeoutMs });
  }

  /** The oldest first. */
  list(): DumpRecord[] {
    return this.#manifest.read();
  }

  /** Dumps a database: whole and listed, or not there. */
  async make({ kind, url, name, gzip, ...options }: MakeRequest): Promise<DumpRecord> {
    if (name !== undefined) assertName(name);
    makeDirectory(this.path);
    removeUnfinished(this.path);
    this.#manifest.read(); // a damaged one is told before an hour's dump
    await using dump = await kind.begin(url, { ...options, lockTimeoutMs: this.lockTimeoutMs });
    const timestamp = new Date();
    const called = name ?? fileName(dump.databaseName);
    const id = `${called}-${timestamp.toISOString().replace(/[-:]|\.\d+/g, "")}-${randomBytes(3).toString("hex")}`;
    const file = `${id}.${dump.extension}${gzip ? ".gz" : ""}`;
    const temporary = join(this.path, unfinishedName(id));
    try {
      const content = dump.read?.();
      if (!content) await dump.writeDirectory?.(temporary);
      const written = content
        ? await writeDump(temporary, content, { gzip, signal: options.signal })
        : await sealDirectory(temporary);
      const { type, format, databaseName, databaseUrl } = dump;
      const record: DumpRecord = {
        ...{ id, name: called, timestamp, type, format, databaseName, databaseUrl, file },
        ...written,
        gzip,
        details: dump.details(),
      };
      for (const note of dump.notes ?? []) this.#logger.warn(note, { backup: id, database: databaseUrl });
      await this.#publish(record, temporary, options.signal);
      return record;
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }

  /** The file has its name before the manifest says so: what is listed is there. */
  async #publish(record: DumpRecord, temporary: string, signal: AbortSignal | undefined): Promise<void> {
    const path = join(this.path, record.file);
    try {
      await this.#manifest.update((records) => {
        renameSync(temporary, path);
        return { records: [...records, record], result: undefined };
      }, signal);
    } catch (error) {
      const isListed = this.list().some(({ id }) => id === record.id);
      if (!isListed) rmSync(path, { recursive: true, force: true });
      throw toIoError(error, "write", path);
    }
    this.#logger.info("database dumped", { backup: record.id, database: record.databaseUrl, file: path });
  }

  /**
   * @param wanted an id, or a name: the newest of that.
   * @throws BackupNotFoundError
   */
  find(wanted: string, type?: DumpType): DumpRecord {
    const records = this.list().filter((record) => type === undefined || record.type === type);
    const found =
      records.find(({ id }) => id === wanted) ??
      records
        .filter(({ name }) => name === wanted)
        .sort(byTime)
        .at(-1);
    if (found) return found;
    const what = type === undefined ? "backup" : `backup of ${type}`;
    throw new BackupNotFoundError(wanted, `There is no ${what} ${JSON.stringify(wanted)} in ${this.path}.`);
  }

  /** Its bytes are compared with the checksum before anything is changed. */
  async restore(record: DumpRecord, url: string, options: RestoreOptions): Promise<void> {
    const path = join(this.path, record.file);
    await assertWhole(path, record);
    options.signal?.throwIfAborted();
    await DUMP_KINDS[record.type].restore(record, path, url, options);
    this.#logger.info("database restored", { backup: record.id, file: path });
  }

  /** Answers with how many were removed. */
  async prune({
    maxAgeDays,
    maxBackups,
  }: {
    maxAgeDays?: number | undefined;
    maxBackups?: number | undefined;
  }) {
    const oldest = maxAgeDays === undefined ? Number.NEGATIVE_INFINITY : Date.now() - maxAgeDays * DAY_MS;
    const removed = await this.#manifest.update((records) => {
      const kept = new Set<DumpRecord>();
      const groups = Map.groupBy(records, ({ type, databaseUrl }) => `${type} ${databaseUrl}`);
      for (const group of groups.values()) {
        const newestFirst = group.toSorted(byTime).reverse();
        for (const [index, record] of newestFirst.entries()) {
          const isBeyond = record.timestamp.getTime() < oldest || index >= (maxBackups ?? group.length);
          if (index === 0 || !isBeyond) kept.add(record);
        }
      }
      const result = records.filter((record) => !kept.has(record));
      return { records: records.filter((record) => kept.has(record)), result };
    });
    // Off the list first: what is listed is there.
    for (const { file } of removed) {
      const path = join(this.path, file);
      await io("remove", path, () => rmSync(path, { recursive: true, force: true }));
    }
    if (removed.length > 0) await syncDirectory(this.path);
    return removed.length;
  }

  /** What users see of a dump. */
  metadataOf({
    id,
    name,
    timestamp,
    databaseName,
    format,
    sizeBytes,
    checksum,
    file,
  }: DumpRecord): BackupMetadata {
    const filePath = join(this.path, file);
    return { id, name, timestamp, databaseName, format, sizeBytes, checksum, filePath };
  }
}

function assertName(name: unknown): void {
  if (typeof name !== "string") throw new TypeError("name must be a string.");
  if (NAME.test(name)) return;
  throw new ValidationError(
    `${JSON.stringify(name)} is not a valid name for a backup: 1 to 100 letters, digits and _ . -, beginning with a letter or digit.`,
  );
}

function byTime(a: DumpRecord, b: DumpRecord): number {
  return a.timestamp.getTime() - b.timestamp.getTime();
}

/** A database's name, as far as a file's name takes it. */
function fileName(name: string): string {
  const plain = name
    .replace(/[^A-Za-z0-9_.-]+/g, "_")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 60);
  return plain === "" ? "database" : plain;
}
