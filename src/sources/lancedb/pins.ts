import { IoError } from "../../errors.ts";
import { makeStagingDirectory, removeStagingDirectory, sweepStaging } from "../../lance/staging.ts";

/** Errors by which a place says that nothing can be written there: nobody else writes there either. */
const READ_ONLY = new Set(["EROFS", "EACCES", "EPERM"]);

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
      await sweepStaging(this.#database);
      this.#directory = makeStagingDirectory(this.#database, "snapshot");
    } catch (error) {
      if (!(error instanceof IoError) || !READ_ONLY.has(error.errno ?? "")) throw error;
    }
    return this.#directory;
  }

  release(): void {
    if (this.#directory) removeStagingDirectory(this.#directory);
    this.#directory = undefined;
  }
}
