import type { Connection } from "@lancedb/lancedb";
import { assertNamespaces } from "../../lance/lacking.ts";

/** Makes a namespace and those around it, as far as they are missing. @throws UnsupportedError where LanceDB has none. */
export async function ensureNamespace(db: Connection, path: readonly string[]): Promise<void> {
  assertNamespaces(db, path);
  for (let depth = 1; depth <= path.length; depth++) {
    const wanted = path.slice(0, depth);
    if (await hasNamespace(db, wanted)) continue;
    try {
      await db.createNamespace(wanted);
    } catch (error) {
      // Somebody else may have made it meanwhile. (`exist_ok` of LanceDB 0.39 fails where it is there.)
      if (!(await hasNamespace(db, wanted))) throw error;
    }
  }
}

async function hasNamespace(db: Connection, path: readonly string[]): Promise<boolean> {
  const name = path.at(-1) ?? "";
  let page: string | undefined;
  do {
    const listed = await db.listNamespaces(path.slice(0, -1), page === undefined ? {} : { pageToken: page });
    if (listed.namespaces.includes(name)) return true;
    page = listed.pageToken;
  } while (page !== undefined && page !== "");
  return false;
}
