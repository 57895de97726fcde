import {
  assertObjectName,
  assertObjectPrefix,
  type Content,
  NotFoundError,
  piecesOf,
  type ReadOptions,
  type Storage,
  type StoredObject,
  type WriteOptions,
} from "lancedb-backup/repository";

const PIECE_BYTES = 1 << 20;
const PAGE = 50;

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** The smallest storage that keeps every promise but that of the power cut. */
export class MemoryStorage implements Storage {
  readonly location = "memory:";
  protected readonly objects = new Map<string, { readonly bytes: Buffer; readonly modified: Date }>();

  async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    assertObjectName(name);
    const { offset = 0, length = Number.POSITIVE_INFINITY, signal } = options;
    const found = this.objects.get(name);
    if (!found) throw new NotFoundError(`${name} is not there.`, { path: name });
    const end = Math.min(offset + length, found.bytes.length);
    for (let at = offset; at < end; at += PIECE_BYTES) {
      signal?.throwIfAborted();
      yield found.bytes.subarray(at, Math.min(at + PIECE_BYTES, end));
      await turn();
    }
  }

  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    this.objects.set(name, await this.gather(name, content, options));
  }

  async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    const object = await this.gather(name, content, options);
    if (this.objects.has(name)) return false;
    this.objects.set(name, object);
    return true;
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    assertObjectPrefix(prefix);
    await turn();
    for (const [name, { bytes, modified }] of this.objects)
      if (name.startsWith(prefix)) yield { name, size: bytes.length, modified };
  }

  async remove(name: string): Promise<void> {
    assertObjectName(name);
    await turn();
    this.objects.delete(name);
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    assertObjectName(name);
    const found = this.objects.get(name);
    return found && { name, size: found.bytes.length, modified: found.modified };
  }

  protected async gather(name: string, content: Content, { signal }: WriteOptions) {
    assertObjectName(name);
    const pieces: Uint8Array[] = [];
    for await (const piece of piecesOf(content, signal)) pieces.push(piece);
    await turn();
    return { bytes: Buffer.concat(pieces), modified: new Date() };
  }
}

/** Looks before it writes, as if nobody came between. */
export class LooksBeforeItWrites extends MemoryStorage {
  override async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    const object = await this.gather(name, content, options);
    if (this.objects.has(name)) return false;
    await turn();
    this.objects.set(name, object);
    return true;
  }
}

/** Lists one page, and says nothing of others. */
export class ListsOnePage extends MemoryStorage {
  override async *list(prefix: string): AsyncGenerator<StoredObject> {
    let listed = 0;
    for await (const object of super.list(prefix)) if (listed++ < PAGE) yield object;
  }
}

/** Ends in the middle of an object, as a connection that is cut. */
export class ReadsHalf extends MemoryStorage {
  override async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const half = Math.ceil(((await this.stat(name))?.size ?? 0) / 2);
    let left = half;
    for await (const piece of super.read(name, options)) {
      if (left > 0) yield piece.subarray(0, left);
      left -= piece.length;
    }
  }
}
