import { isNotWritable } from "../../fs/io.ts";
import {
  makeStagingDirectory,
  removeDeadStaging,
  removeStagingDirectory,
} from "../../lance/private-directory.ts";

/** A directory of links inside the database, which keeps files alive while they are read. */
export class Pins {
  readonly #database: string;
  #directory: string | undefined;

  constructor(database: string) {
    this.#database = database;
  }

  /** Undefined where the database cannot be written to. */
  async directory(): Promise<string | undefined> {
    if (this.#directory) return this.#directory;
    try {
      await removeDeadStaging(this.#database);
      this.#directory = makeStagingDirectory(this.#database, "snapshot");
    } catch (error) {
      if (!isNotWritable(error)) throw error; // nobody else writes there either
    }
    return this.#directory;
  }

  release(): void {
    if (this.#directory) removeStagingDirectory(this.#directory);
    this.#directory = undefined;
  }
}
