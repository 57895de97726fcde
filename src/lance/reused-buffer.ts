import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/**
 * Reads files one after the other into memory that it uses again: what a call answers with is good until the next
 * one. Thousands of manifests in buffers of their own would fill the memory faster than it is given back.
 */
export class ReusedBuffer {
  #buffer = Buffer.alloc(0);

  /** @throws the system's own error. */
  read(path: string): Buffer {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      if (size > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(Math.ceil(size * 1.5));
      let length = 0;
      while (length < size) {
        const count = readSync(file, this.#buffer, length, size - length, length);
        if (count === 0) break;
        length += count;
      }
      return this.#buffer.subarray(0, length);
    } finally {
      closeSync(file);
    }
  }
}
