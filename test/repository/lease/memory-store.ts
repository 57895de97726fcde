import { NotFoundError } from "../../../src/errors.ts";
import type { StoredObject } from "../../../src/storage/object-name.ts";
import type { Content, Storage } from "../../../src/storage/storage.ts";

/**
 * A store in memory whose clock a test sets: for interleavings, and for stores whose clock is wrong. What it must do like a real
 * one is held by the tests against an S3 server.
 *
 * @param before awaited before each request is carried out
 */
export class MemoryStore implements Storage {
  readonly location = "memory";
  readonly objects = new Map<string, { readonly bytes: Buffer; readonly modified: Date }>();
  readonly requests: string[] = [];
  readonly #now: () => number;
  /** What a reader gets of an object. */
  asRead: (bytes: Buffer) => Buffer = (bytes) => bytes;
  before: (request: string) => Promise<void> | void = () => undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  async *read(name: string): AsyncGenerator<Uint8Array> {
    await this.#ask(`GET ${name}`);
    const found = this.objects.get(name);
    if (!found) throw new NotFoundError(`${name} is not there`, { path: name });
    yield this.asRead(found.bytes);
  }

  async write(name: string, content: Content): Promise<void> {
    await this.#ask(`PUT ${name}`);
    this.objects.set(name, { bytes: Buffer.from(content as Uint8Array), modified: new Date(this.#now()) });
  }

  async writeNew(name: string, content: Content): Promise<boolean> {
    await this.#ask(`PUT ${name}`);
    if (this.objects.has(name)) return false;
    this.objects.set(name, { bytes: Buffer.from(content as Uint8Array), modified: new Date(this.#now()) });
    return true;
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    await this.#ask(`LIST ${prefix}`);
    const found = [...this.objects].filter(([name]) => name.startsWith(prefix)).sort();
    for (const [name, { bytes, modified }] of found) yield { name, size: bytes.length, modified };
  }

  async remove(name: string): Promise<void> {
    await this.#ask(`DELETE ${name}`);
    this.objects.delete(name);
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    await this.#ask(`HEAD ${name}`);
    const found = this.objects.get(name);
    return found && { name, size: found.bytes.length, modified: found.modified };
  }

  async #ask(request: string): Promise<void> {
    this.requests.push(request);
    await this.before(request);
  }
}
