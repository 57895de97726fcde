import { symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Table } from "@lancedb/lancedb";
import { toIoError } from "../fs/io.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { makeStagingDirectory, removeStagingDirectory } from "./staging.ts";
import type { LanceDB } from "./which-lancedb.ts";

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

  /** @param kind `look`: nothing is written through it. */
  static async open(
    lancedb: LanceDB,
    database: string,
    dataset: string,
    kind: "door" | "look" = "door",
  ): Promise<Door> {
    const directory = makeStagingDirectory(database, kind);
    try {
      const door = join(directory, `${NAME}.lance`);
      symlinkSync(dataset, door, "junction");
      takeOwner(door);
    } catch (error) {
      throw toIoError(error, "link", directory);
    }
    try {
      const connection = await lancedb.connectAside(directory);
      return new Door(directory, await connection.openTable(NAME));
    } catch (error) {
      removeStagingDirectory(directory);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.table.close();
    removeStagingDirectory(this.#directory);
  }
}
