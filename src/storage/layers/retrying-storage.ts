import { types } from "node:util";
import { crc32 } from "node:zlib";
import { IoError, isNotFound } from "../../errors.ts";
import type { StoredObject } from "../object-name.ts";
import { piecesOf } from "../pieces.ts";
import type { CallOptions, Content, ReadOptions, Storage, WriteOptions } from "../storage.ts";
import type { RetryPolicy } from "./retry-policy.ts";
import { StorageLayer } from "./storage-layer.ts";

/** So much of what comes piece by piece is held in memory, so that it can be sent again. */
const HELD_BYTES = 16 << 20;

/**
 * Makes calls again that failed for a reason that passes, as the storage below says by `isTransient`.
 *
 * - A read that broke off goes on: what was already given is read again, and compared, so that nobody gets a mixture.
 * - What is written is sent again from memory. A stream of more than 16 MiB cannot be: its error comes out.
 * - `writeNew`, of any length, is held in memory. After a try without a clear answer, what is there is compared with what was sent.
 * - A listing is begun again as long as it has not shown anything.
 */
export class RetryingStorage extends StorageLayer {
  readonly #policy: RetryPolicy;
  readonly #isTransient = (error: unknown) => this.isTransient(error);

  constructor(below: Storage, policy: RetryPolicy) {
    super(below);
    this.#policy = policy;
  }

  override async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const tries = this.#policy.begin(this.#isTransient, options.signal);
    let given = 0;
    let sum = 0;
    for (;;) {
      let again = 0;
      let sumAgain = 0;
      try {
        for await (const piece of this.below.read(name, options)) {
          const known = piece.subarray(0, given - again);
          sumAgain = crc32(known, sumAgain);
          again += known.length;
          if (known.length > 0 && again === given && sumAgain !== sum) throw this.#changed(name);
          const fresh = piece.subarray(known.length);
          if (fresh.length === 0) continue;
          sum = crc32(fresh, sum);
          sumAgain = sum;
          given += fresh.length;
          again = given;
          yield fresh;
        }
        if (again < given) throw this.#changed(name);
        return;
      } catch (error) {
        await tries.failed(error);
      }
    }
  }

  override async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    const { signal } = options;
    if (types.isUint8Array(content)) return this.#run(() => this.below.write(name, content, options), signal);
    const pieces = piecesOf(content, signal);
    try {
      const held = await hold(pieces, HELD_BYTES);
      if (held.isWhole) await this.#run(() => this.below.write(name, held.bytes, options), signal);
      else await this.below.write(name, chain(held.bytes, pieces), options);
    } finally {
      await pieces.return(undefined); // the source is told to end, where it has not come to its end
    }
  }

  override async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    const { signal } = options;
    const { bytes } = await hold(piecesOf(content, signal), Number.POSITIVE_INFINITY);
    const tries = this.#policy.begin(this.#isTransient, signal);
    let isUnclear = false;
    for (;;) {
      try {
        const isNew = await this.below.writeNew(name, bytes, options);
        return isNew || (isUnclear && (await this.#holds(name, bytes, signal)));
      } catch (error) {
        signal?.throwIfAborted();
        isUnclear ||= this.isTransient(error);
        try {
          await tries.failed(error);
        } catch (last) {
          signal?.throwIfAborted();
          // Where that cannot be read either, the error of the writing says more.
          if (isUnclear && (await this.#holds(name, bytes, signal).catch(() => false))) return true;
          throw last;
        }
      }
    }
  }

  override async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<StoredObject> {
    const tries = this.#policy.begin(this.#isTransient, options.signal);
    for (let isShown = false; ; ) {
      try {
        for await (const object of this.below.list(prefix, options)) {
          isShown = true;
          yield object;
        }
        return;
      } catch (error) {
        if (isShown) throw error;
        await tries.failed(error);
      }
    }
  }

  override remove(name: string, options: CallOptions = {}): Promise<void> {
    return this.#run(() => this.below.remove(name, options), options.signal);
  }

  override stat(name: string, options: CallOptions = {}): Promise<StoredObject | undefined> {
    return this.#run(() => this.below.stat(name, options), options.signal);
  }

  override has(
    names: readonly string[],
    options: CallOptions = {},
  ): Promise<ReadonlyMap<string, StoredObject>> {
    return this.#run(() => super.has(names, options), options.signal);
  }

  override assertWritable(name: string, options: CallOptions = {}): Promise<void> {
    return this.#run(() => super.assertWritable(name, options), options.signal);
  }

  #run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#policy.run(task, this.#isTransient, signal);
  }

  /** Whether an object is what was to be written. */
  async #holds(name: string, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    let at = 0;
    try {
      for await (const piece of this.read(name, { signal })) {
        if (Buffer.compare(piece, bytes.subarray(at, at + piece.length)) !== 0) return false;
        at += piece.length;
      }
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
    return at === bytes.length;
  }

  #changed(name: string): IoError {
    const path = `${this.location}/${name}`;
    return new IoError(`Could not read ${path}: it was overwritten meanwhile.`, { path, errno: "EAGAIN" });
  }
}

interface Held {
  readonly bytes: Uint8Array;
  /** Whether that is all; otherwise the rest is still to come. */
  readonly isWhole: boolean;
}

/** Takes pieces until there are more than `most` bytes. */
async function hold(pieces: AsyncGenerator<Uint8Array>, most: number): Promise<Held> {
  const held: Uint8Array[] = [];
  let bytes = 0;
  while (bytes <= most) {
    const { value, done } = await pieces.next();
    if (done) return { bytes: joined(held), isWhole: true };
    held.push(value);
    bytes += value.length;
  }
  return { bytes: joined(held), isWhole: false };
}

const joined = (pieces: readonly Uint8Array[]) => (pieces.length === 1 && pieces[0]) || Buffer.concat(pieces);

async function* chain(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  yield* rest;
}
