import { symlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Table } from "@lancedb/lancedb";
import { toIoError } from "../fs/io.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { makeStagingDirectory, removeStagingDirectory } from "./private-directory.ts";
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

/**
 * How many rows versions of a dataset have, as LanceDB counts them: for those whose manifests do not say. Nothing is
 * written beside the dataset.
 *
 * @throws LanceDB's errors, where it cannot read the table.
 */
export async function countRows(
  lancedb: LanceDB,
  dataset: string,
  versions: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const scratch = await mkdtemp(join(tmpdir(), "lancedb-backup-count-"));
  try {
    using door = await Door.open(lancedb, scratch, dataset, "look");
    const counts = new Map<number, number>();
    for (const version of versions) {
      await door.table.checkout(version);
      counts.set(version, await door.table.countRows());
    }
    return counts;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
