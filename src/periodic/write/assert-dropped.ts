import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CorruptError } from "../../errors.ts";
import { ifThereLater } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import { isStray } from "../../fs/strays.ts";
import type { PinnedTable } from "../pins/document.ts";
import { directoryOf } from "../pins/pin-store.ts";
import { currentPosition } from "./live-tables.ts";

/** How often, and how long apart, a directory is looked at again that LanceDB may just be removing or making. */
const LOOKS = 10;
const PAUSE_MS = 50;

/** What LanceDB leaves in the directory of a table of a namespace that it drops, or has not yet made. */
const RESERVED = ".lance-reserved";

/**
 * Holds that tables that were there at the file before, and are no tables any more, were dropped: that their
 * directories went with them.
 *
 * @throws CorruptError where files of one are still there, and no version.
 */
export async function assertDropped(database: string, tables: readonly PinnedTable[]): Promise<void> {
  for (const table of tables) await assertGone(table.id, join(database, directoryOf(table)));
}

async function assertGone(table: string, path: string): Promise<void> {
  for (let look = 1; await hasFiles(path); look++) {
    if ((await currentPosition(path)) !== undefined) return; // made again meanwhile; the next backup has it
    if (look < LOOKS) {
      await sleep(PAUSE_MS);
      continue;
    }
    throw new CorruptError(
      `The table ${table} is damaged: ${path} holds files of it, and no version. Put its _versions back, or drop the table; older periodic backups hold it.`,
      { path },
    );
  }
}

async function hasFiles(path: string): Promise<boolean> {
  try {
    const names = await ifThereLater(path, () => readdir(path));
    return names?.some((name) => name !== RESERVED && !isStray(name)) ?? false;
  } catch (error) {
    throw toIoError(error, "list", path);
  }
}
