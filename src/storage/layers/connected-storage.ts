import { Slots } from "../../util/slots.ts";
import type { StoredObject } from "../object-name.ts";
import type { CallOptions, Content, ReadOptions, Storage, WriteOptions } from "../storage.ts";
import { StorageLayer } from "./storage-layer.ts";

/**
 * Makes no more calls at once than the storage below bears; others wait for a place. A read counts until its last piece was
 * taken. Listings do not count: what is listed is looked at meanwhile, and one that waited for the other would wait for ever.
 */
export class ConnectedStorage extends StorageLayer {
  readonly #slots: Slots;

  constructor(below: Storage, connections: number) {
    super(below);
    this.#slots = new Slots(connections);
  }

  override async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    await this.#slots.take(options.signal);
    try {
      yield* this.below.read(name, options);
    } finally {
      this.#slots.give();
    }
  }

  override write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    return this.#slots.within(() => this.below.write(name, content, options), options.signal);
  }

  override writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    return this.#slots.within(() => this.below.writeNew(name, content, options), options.signal);
  }

  override remove(name: string, options: CallOptions = {}): Promise<void> {
    return this.#slots.within(() => this.below.remove(name, options), options.signal);
  }

  override stat(name: string, options: CallOptions = {}): Promise<StoredObject | undefined> {
    return this.#slots.within(() => this.below.stat(name, options), options.signal);
  }
}
