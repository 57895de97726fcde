import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { connect, type Table } from "@lancedb/lancedb";
import { toIoError } from "../fs/io.ts";
import { ensurePrivateDirectory } from "./private-directory.ts";

const NAME = "table";

/**
 * A LanceDB handle on any dataset directory: root table, namespaced table, `__manifest`, or one that is
 * still being put together. LanceDB opens a dataset through a symbolic link named `<x>.lance`
 * (docs/lance-facts.md), so one way serves for all.
 */
export class Door implements Disposable {
  readonly #directory: string;
  readonly table: Table;

  private constructor(directory: string, table: Table) {
    this.#directory = directory;
    this.table = table;
  }

  static async open(database: string, dataset: string): Promise<Door> {
    const directory = join(ensurePrivateDirectory(database, "staging"), `door-${randomUUID()}`);
    try {
      mkdirSync(directory);
      symlinkSync(dataset, join(directory, `${NAME}.lance`), "junction");
    } catch (error) {
      throw toIoError(error, "make directory", directory);
    }
    try {
      const connection = await connect(directory);
      return new Door(directory, await connection.openTable(NAME));
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.table.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
