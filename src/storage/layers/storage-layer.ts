import type { LocalFiles } from "../local-files.ts";
import { lookFor } from "../look-for.ts";
import type { StoredObject } from "../object-name.ts";
import type {
  CallOptions,
  Content,
  ReadOptions,
  Storage,
  StorageLimits,
  StorageLock,
  WriteOptions,
} from "../storage.ts";

/** A storage that does as the one below it, but for what it does otherwise. */
export abstract class StorageLayer implements Storage {
  protected readonly below: Storage;

  constructor(below: Storage) {
    this.below = below;
  }

  get location(): string {
    return this.below.location;
  }

  get local(): LocalFiles | undefined {
    return this.below.local;
  }

  get limits(): StorageLimits | undefined {
    return this.below.limits;
  }

  get keepsNoContent(): boolean | undefined {
    return this.below.keepsNoContent;
  }

  get keepsNoPieces(): boolean | undefined {
    return this.below.keepsNoPieces;
  }

  get lock(): StorageLock | undefined {
    return this.below.lock;
  }

  isTransient(error: unknown): boolean {
    return this.below.isTransient?.(error) ?? false;
  }

  read(name: string, options?: ReadOptions): AsyncIterable<Uint8Array> {
    return this.below.read(name, options);
  }

  write(name: string, content: Content, options?: WriteOptions): Promise<void> {
    return this.below.write(name, content, options);
  }

  writeNew(name: string, content: Content, options?: WriteOptions): Promise<boolean> {
    return this.below.writeNew(name, content, options);
  }

  list(prefix: string, options?: CallOptions): AsyncIterable<StoredObject> {
    return this.below.list(prefix, options);
  }

  remove(name: string, options?: CallOptions): Promise<void> {
    return this.below.remove(name, options);
  }

  stat(name: string, options?: CallOptions): Promise<StoredObject | undefined> {
    return this.below.stat(name, options);
  }

  /** By the layer's own calls, where the storage below has no way of its own. */
  has(names: readonly string[], options: CallOptions = {}): Promise<ReadonlyMap<string, StoredObject>> {
    return this.below.has ? this.below.has(names, options) : lookFor(this, names, options);
  }

  async assertWritable(name: string, options?: CallOptions): Promise<void> {
    await this.below.assertWritable?.(name, options);
  }

  acceptNoExclusion(): void {
    this.below.acceptNoExclusion?.();
  }
}
