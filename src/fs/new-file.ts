import { type FileHandle, open } from "node:fs/promises";
import { takeOwner } from "./take-owner.ts";

/** A file that is written from its beginning to its end, of the owner of its directory. */
export class NewFile implements AsyncDisposable {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Where nothing has the name. What the system refuses comes out as it is. */
  static async create(path: string): Promise<NewFile> {
    const file = await open(path, "wx");
    takeOwner(path);
    return new NewFile(file);
  }

  async write(piece: Uint8Array): Promise<void> {
    for (let rest = piece; rest.length > 0; ) {
      const { bytesWritten } = await this.#file.write(rest);
      rest = rest.subarray(bytesWritten);
    }
  }

  /** Without a sync. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
