import { IoError } from "../../src/errors.ts";
import type { LocalFiles } from "../../src/storage/local-files.ts";
import type { StoredObject } from "../../src/storage/object-name.ts";
import type { Content, ReadOptions, Storage, WriteOptions } from "../../src/storage/storage.ts";

type Method = "read" | "write" | "writeNew" | "list" | "remove" | "stat";

export interface Call {
  /** Counted from 1, over all methods. */
  readonly number: number;
  readonly method: Method;
  /** Name or prefix. */
  readonly name: string;
}

/**
 * What becomes of a call.
 * `fail`: nothing is done, and it throws. `lose`: it is done, and throws (reads and lists: half of it first).
 * `stall`: nothing is done until the signal ends it, for ever without one. `trickle`: a read comes byte for byte.
 * `cut`: a read ends in the middle, without an error. `die`: SIGKILL.
 */
export type Fault = "fail" | "lose" | "stall" | "trickle" | "cut" | "die";

/** A storage that does as another, but for the faults that `plan` asks for. */
export class FaultyStorage implements Storage {
  readonly #inner: Storage;
  readonly #plan: (call: Call) => Fault | undefined;
  /** Every call, in order. */
  readonly calls: Call[] = [];

  constructor(inner: Storage, plan: (call: Call) => Fault | undefined = () => undefined) {
    this.#inner = inner;
    this.#plan = plan;
  }

  get location(): string {
    return this.#inner.location;
  }

  get local(): LocalFiles | undefined {
    return this.#inner.local;
  }

  async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const fault = await this.#begin("read", name, options.signal);
    if (fault === undefined) return yield* this.#inner.read(name, options);
    const size = (await this.#inner.stat(name))?.size ?? 0;
    let left = fault === "trickle" ? Number.POSITIVE_INFINITY : Math.floor(size / 2);
    for await (const piece of this.#inner.read(name, options)) {
      for (let at = 0; at < piece.length && left > 0; at++, left--) yield piece.subarray(at, at + 1);
    }
    if (fault === "lose") throw broken(name);
  }

  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    const fault = await this.#begin("write", name, options.signal);
    await this.#inner.write(name, content, options);
    if (fault === "lose") throw broken(name);
  }

  async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    const fault = await this.#begin("writeNew", name, options.signal);
    const isNew = await this.#inner.writeNew(name, content, options);
    if (fault === "lose") throw broken(name);
    return isNew;
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const fault = await this.#begin("list", prefix, undefined);
    if (fault === undefined) return yield* this.#inner.list(prefix);
    const all: StoredObject[] = [];
    for await (const object of this.#inner.list(prefix)) all.push(object);
    yield* all.slice(0, Math.floor(all.length / 2));
    throw broken(prefix);
  }

  async remove(name: string): Promise<void> {
    const fault = await this.#begin("remove", name, undefined);
    await this.#inner.remove(name);
    if (fault === "lose") throw broken(name);
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    const fault = await this.#begin("stat", name, undefined);
    const found = await this.#inner.stat(name);
    if (fault === "lose") throw broken(name);
    return found;
  }

  async #begin(method: Method, name: string, signal: AbortSignal | undefined): Promise<Fault | undefined> {
    const call = { number: this.calls.length + 1, method, name };
    this.calls.push(call);
    const fault = this.#plan(call);
    if (fault === "fail") throw broken(name);
    if (fault === "die") process.kill(process.pid, "SIGKILL");
    if (fault === "stall" || fault === "die") await stall(signal);
    return fault;
  }
}

const broken = (name: string) => new IoError(`Could not reach ${name} (EIO).`, { path: name, errno: "EIO" });

function stall(signal: AbortSignal | undefined): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  if (signal?.aborted) reject(signal.reason);
  signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  return promise;
}
