import { createHash } from "node:crypto";
import { createReadStream, readdirSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { BackupNotFoundError, CorruptError } from "../errors.ts";
import { listNames } from "../fs/directory-tree.ts";
import { syncDirectories, syncFile } from "../fs/durable.ts";
import { isMissing, toIoError } from "../fs/io.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { livenessOfToken, PROCESS_TOKEN } from "../fs/this-process.ts";
import type { DumpRecord } from "./backup-manifest.ts";

/** What was written. */
export type WrittenDump = Pick<DumpRecord, "sizeBytes" | "checksum" | "content">;

const READ_BYTES = 1 << 20;

/** `.<process>.<anything>.tmp`: unfinished. */
const UNFINISHED = /^\.([A-Za-z0-9_-]+)\.[^/]*\.tmp$/;

/** A name for a dump in the making. */
export function unfinishedName(id: string): string {
  return `.${PROCESS_TOKEN}.${id}.tmp`;
}

/** Takes away what dead processes have left unfinished. */
export function removeUnfinished(directory: string): void {
  for (const name of listNames(directory)) {
    const [, token] = UNFINISHED.exec(name) ?? [];
    const path = join(directory, name);
    if (token !== undefined && livenessOfToken(token, path) === "dead") {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/** Writes a dump into a new file, which only this user reads; on the disk when it returns. */
export async function writeDump(
  path: string,
  content: AsyncIterable<Uint8Array>,
  { gzip, signal }: { readonly gzip: boolean; readonly signal?: AbortSignal | undefined },
): Promise<WrittenDump> {
  const [plain, stored] = [new Count(), new Count()];
  try {
    const file = await open(path, "wx", 0o600);
    takeOwner(path);
    try {
      const write = async (pieces: AsyncIterable<Uint8Array>) => {
        for await (const piece of pieces) {
          stored.add(piece);
          await file.writeFile(piece);
        }
      };
      const counted = Readable.from(plain.through(content), { objectMode: false });
      const options = signal ? { signal } : {};
      await (gzip ? pipeline(counted, createGzip(), write, options) : pipeline(counted, write, options));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toIoError(error, "write", path);
  }
  return {
    sizeBytes: stored.bytes,
    checksum: stored.digest(),
    content: { bytes: plain.bytes, sha256: plain.digest() },
  };
}

/** The same of a directory that somebody has written. */
export async function sealDirectory(path: string): Promise<WrittenDump> {
  const names = filesIn(path);
  for (const name of names) await syncFile(join(path, name));
  const directories = names.map((name) => join(path, name, ".."));
  await syncDirectories([path, ...directories]);
  return measureDirectory(path, names);
}

/**
 * Holds a dump to its checksum.
 *
 * @throws BackupNotFoundError where it is gone. @throws CorruptError where it is another.
 */
export async function assertWhole(path: string, record: DumpRecord): Promise<void> {
  const { checksum, sizeBytes } =
    record.format === "directory" ? await measured(path, record) : await hashed(path, record);
  if (checksum === record.checksum && sizeBytes === record.sizeBytes) return;
  throw new CorruptError(
    `The backup ${path} is damaged: its content is not what was written. Nothing was restored.`,
    {
      path,
    },
  );
}

/** What was dumped. Throws at its end where it is another. */
export async function* readDump(path: string, { gzip, content }: DumpRecord): AsyncGenerator<Uint8Array> {
  const count = new Count();
  try {
    const stored = createReadStream(path, { highWaterMark: READ_BYTES });
    yield* count.through(gzip ? unpacked(stored) : stored);
  } catch (error) {
    throw toIoError(error, "read", path);
  }
  if (content && (count.bytes !== content.bytes || count.digest() !== content.sha256)) {
    throw new CorruptError(`The backup ${path} is damaged: its content is not what was written.`, { path });
  }
}

function unpacked(stored: Readable): AsyncIterable<Uint8Array> {
  const gunzip = createGunzip();
  stored.once("error", (error) => gunzip.destroy(error));
  gunzip.once("close", () => stored.destroy());
  return stored.pipe(gunzip);
}

/** Counts and hashes what goes by. */
class Count {
  bytes = 0;
  readonly #hash = createHash("sha256");

  add(piece: Uint8Array): void {
    this.bytes += piece.length;
    this.#hash.update(piece);
  }

  async *through(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of content) {
      this.add(piece);
      yield piece;
    }
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

async function hashed(
  path: string,
  record: DumpRecord,
): Promise<Pick<WrittenDump, "sizeBytes" | "checksum">> {
  const count = new Count();
  try {
    for await (const piece of createReadStream(path, { highWaterMark: READ_BYTES }))
      count.add(piece as Buffer);
  } catch (error) {
    throw isMissing(error) ? gone(record, path) : toIoError(error, "read", path);
  }
  return { sizeBytes: count.bytes, checksum: count.digest() };
}

async function measured(path: string, record: DumpRecord): Promise<WrittenDump> {
  try {
    return await measureDirectory(path, filesIn(path));
  } catch (error) {
    if (isMissing(error)) throw gone(record, path);
    throw toIoError(error, "read", path);
  }
}

function gone({ id }: DumpRecord, path: string): BackupNotFoundError {
  return new BackupNotFoundError(id, `The backup ${id} is listed, but its file is gone: ${path}.`);
}

async function measureDirectory(path: string, names: readonly string[]): Promise<WrittenDump> {
  const all = new Count();
  let sizeBytes = 0;
  for (const name of names) {
    const one = new Count();
    for await (const piece of createReadStream(join(path, name))) one.add(piece as Buffer);
    sizeBytes += one.bytes;
    all.add(Buffer.from(`${one.digest()}  ${name}\n`));
  }
  return { sizeBytes, checksum: all.digest() };
}

/** Of all files below a directory, sorted, with forward slashes. */
function filesIn(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => statSync(join(directory, name)).isFile())
    .map((name) => name.replaceAll("\\", "/"))
    .sort();
}
