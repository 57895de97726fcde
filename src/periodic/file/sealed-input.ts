import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { Problem } from "../../arrow/bad-value.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import { io, isError } from "../../fs/io.ts";

const CHUNK = 1024 * 1024;

/** A backup file being read. Every read is held to the file's size before memory is taken for it. */
export class SealedInput {
  readonly path: string;
  readonly bytes: number;
  readonly #file: FileHandle;

  private constructor(path: string, bytes: number, file: FileHandle) {
    this.path = path;
    this.bytes = bytes;
    this.#file = file;
  }

  static async open(path: string): Promise<SealedInput> {
    const file = await io("open", path, () => open(path, "r"));
    try {
      const stats = await io("read", path, () => file.stat());
      if (!stats.isFile()) throw new CorruptError(`${path} is not a file.`, { path });
      return new SealedInput(path, stats.size, file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Exactly these bytes, in memory of their own that is aligned to 8. */
  async read(position: number, length: number): Promise<Uint8Array> {
    if (position < 0 || length < 0 || position + length > this.bytes) {
      throw this.corrupt(`${length} bytes at ${position} lie beyond its end at ${this.bytes}`);
    }
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    await this.readInto(bytes, position);
    return bytes;
  }

  /** The same into memory that is there, as much as it holds. */
  async readInto(bytes: Uint8Array, position: number): Promise<void> {
    const length = bytes.byteLength;
    if (position + length > this.bytes) {
      throw this.corrupt(`${length} bytes at ${position} lie beyond its end at ${this.bytes}`);
    }
    let done = 0;
    while (done < length) {
      const { bytesRead } = await io("read", this.path, () =>
        this.#file.read(bytes, done, length - done, position + done),
      );
      if (bytesRead === 0) throw this.corrupt(`it became shorter while it was read, at ${position + done}`);
      done += bytesRead;
    }
  }

  /** The SHA-256 of the first `length` bytes; the next chunk is read while one is hashed. */
  async hash(length: number): Promise<Buffer> {
    const hash = createHash("sha256");
    let ahead = this.read(0, Math.min(CHUNK, length));
    for (let position = 0; position < length; position += CHUNK) {
      const chunk = await ahead;
      const next = position + CHUNK;
      ahead = this.read(Math.min(next, length), Math.max(0, Math.min(CHUNK, length - next)));
      hash.update(chunk);
    }
    await ahead;
    return hash.digest();
  }

  corrupt(reason: string, cause?: unknown): CorruptError {
    return new CorruptError(`${this.path} is damaged: ${reason}.`, { path: this.path, cause });
  }

  async close(): Promise<void> {
    await io("close", this.path, () => this.#file.close());
  }
}

/** Runs `task`; what it finds wrong comes out as a `CorruptError` that names the file and the place. */
export function locating<T>(path: string, place: string, task: () => T): T {
  try {
    return task();
  } catch (error) {
    if (!isProblem(error)) throw error;
    throw new CorruptError(
      `${path} is damaged, or was not written by this package: ${place}: ${error.message}`,
      {
        path,
        cause: error,
      },
    );
  }
}

/** Runs `task` on what a caller gave; what it finds wrong comes out as a `ValidationError`. */
export function validating<T>(what: string, task: () => T): T {
  try {
    return task();
  } catch (error) {
    if (!isProblem(error)) throw error;
    throw new ValidationError(`${what}: ${error.message}`, { cause: error });
  }
}

/** RangeErrors come from reads beyond a buffer, so also from Node's own realm; SyntaxErrors from JSON; a ValidationError from a name. */
function isProblem(error: unknown): error is Error {
  return (
    error instanceof Problem ||
    (isError(error) && error.name === "RangeError") ||
    error instanceof SyntaxError ||
    error instanceof ValidationError
  );
}
