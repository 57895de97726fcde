import { isNotFound } from "../../errors.ts";
import type { StoredObject } from "../object-name.ts";
import type { CallOptions, Content, ReadOptions, Storage, WriteOptions } from "../storage.ts";
import { StorageLayer } from "./storage-layer.ts";

/** A call to a storage that has ended. */
export interface StorageRequest {
  readonly operation: "read" | "write" | "write_new" | "list" | "remove" | "stat" | "has" | "lock";
  /**
   * `success` also where `write_new` found the name taken, and where a reader had enough; `not_found`: there is no such object;
   * `aborted`: its signal ended it; `failure`: every other error, also of a call that is made again.
   */
  readonly outcome: "success" | "not_found" | "aborted" | "failure";
}

/** Tells of each call that is made to the storage below. A listing is one, of however many pages. */
export class CountedStorage extends StorageLayer {
  readonly #onRequest: (request: StorageRequest) => void;

  constructor(below: Storage, onRequest: (request: StorageRequest) => void) {
    super(below);
    this.#onRequest = onRequest;
  }

  override get lock(): Storage["lock"] {
    const { lock } = this.below;
    return (
      lock && {
        extend: (names, options) => this.#run("lock", () => lock.extend(names, options), options),
        until: (name, options) => this.#run("lock", () => lock.until(name, options), options),
      }
    );
  }

  override read(name: string, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    return this.#each("read", () => this.below.read(name, options), options);
  }

  override list(prefix: string, options: CallOptions = {}): AsyncIterable<StoredObject> {
    return this.#each("list", () => this.below.list(prefix, options), options);
  }

  override write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    return this.#run("write", () => this.below.write(name, content, options), options);
  }

  override writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    return this.#run("write_new", () => this.below.writeNew(name, content, options), options);
  }

  override remove(name: string, options: CallOptions = {}): Promise<void> {
    return this.#run("remove", () => this.below.remove(name, options), options);
  }

  override stat(name: string, options: CallOptions = {}): Promise<StoredObject | undefined> {
    return this.#run("stat", () => this.below.stat(name, options), options);
  }

  override has(
    names: readonly string[],
    options: CallOptions = {},
  ): Promise<ReadonlyMap<string, StoredObject>> {
    // Without a way of its own it is by calls that are counted each.
    if (!this.below.has) return super.has(names, options);
    return this.#run("has", () => super.has(names, options), options);
  }

  async #run<T>(
    operation: StorageRequest["operation"],
    task: () => Promise<T>,
    { signal }: CallOptions = {},
  ): Promise<T> {
    try {
      const result = await task();
      this.#onRequest({ operation, outcome: "success" });
      return result;
    } catch (error) {
      this.#onRequest({ operation, outcome: outcomeOf(error, signal) });
      throw error;
    }
  }

  async *#each<T>(
    operation: StorageRequest["operation"],
    begin: () => AsyncIterable<T>,
    { signal }: CallOptions,
  ): AsyncGenerator<T> {
    let outcome: StorageRequest["outcome"] = "success";
    try {
      yield* begin();
    } catch (error) {
      outcome = outcomeOf(error, signal);
      throw error;
    } finally {
      this.#onRequest({ operation, outcome });
    }
  }
}

function outcomeOf(error: unknown, signal: AbortSignal | undefined): StorageRequest["outcome"] {
  if (signal?.aborted) return "aborted";
  return isNotFound(error) ? "not_found" : "failure";
}
