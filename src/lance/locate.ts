import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { isDataset } from "./capture.ts";
import { namespacedDirectories, parseTableId, rootDirectory } from "./database.ts";

/** The directory of a table, undefined where it does not exist. */
export async function locateTable(database: string, id: string): Promise<string | undefined> {
  const root = rootDirectory(id);
  if (root !== undefined) {
    if (isDataset(join(database, root))) return root;
  }
  const found = (await namespacedDirectories(database, id)).filter((name) => isDataset(join(database, name)));
  return found.length > 1 ? ((await askLanceDB(database, id)) ?? found[0]) : found[0];
}

/** LanceDB knows which of several directories is the table: `display()` names it. */
async function askLanceDB(database: string, id: string): Promise<string | undefined> {
  const { name, namespacePath } = parseTableId(id);
  const connection = await connect(database);
  try {
    const table = await connection.openTable(name, namespacePath);
    const uri = /uri=([^,]+),/.exec(table.display())?.[1];
    table.close();
    return uri?.split("/").filter(Boolean).at(-1);
  } catch {
    return undefined; // it cannot be opened: the caller takes what it found
  } finally {
    connection.close();
  }
}
