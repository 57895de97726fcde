import { join } from "node:path";
import { LanceError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { NAMESPACE_TABLE, parseTableId } from "../../lance/database.ts";
import { listManifests } from "../../lance/image.ts";
import { assertNamespaces } from "../../lance/lacking.ts";
import { changeNamespaces, listNamespaces } from "../../lance/namespaces.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import { type NamespacePlan, withoutDirectory } from "./namespace-entries.ts";
import type { TableRestore } from "./roll-back-tables.ts";

/** Where a list has to be made to begin with. */
const FIRST = "lancedb_backup";

/**
 * Has `__manifest` say what it said of the tables and namespaces that are back, and nothing of those that are gone,
 * and looks whether LanceDB finds them. Can be done twice.
 *
 * @param isRebuilt the list was gone, and has come back whole, perhaps with tables that have not.
 * @throws LanceError where a table that is back is not found.
 */
export async function putNamespacesBack(
  lancedb: LanceDB,
  database: string,
  plan: NamespacePlan,
  isRebuilt: boolean,
): Promise<TableRestore[]> {
  const dataset = join(database, NAMESPACE_TABLE);
  const isThere = (await listManifests(dataset)).length > 0;
  if (!isThere && plan.wanted.length === 0) return [];
  const gone = [...plan.gone];
  if (!isThere) {
    const connection = await lancedb.connect(database);
    assertNamespaces(connection, [FIRST]);
    await connection.createNamespace([FIRST]).finally(() => connection.close());
    gone.push({ object_id: FIRST, location: null });
  }
  if (isRebuilt) gone.push(...withoutDirectory(database, await listNamespaces(lancedb, database)));
  const { added, removed } = await changeNamespaces(lancedb, dataset, database, {
    wanted: plan.wanted,
    gone,
  });
  await assertFound(lancedb, database, plan, new Set(added));
  if (!plan.isCaptured || isRebuilt) return [];
  const version = (await listManifests(dataset))[0]?.version;
  const action = added.length + removed.length > 0 ? "merge" : "keep";
  return [{ table: NAMESPACE_TABLE, action, version, passedOver: [] }];
}

/** Every table is listed where it lies, and those that were not before open. */
async function assertFound(
  lancedb: LanceDB,
  database: string,
  { wanted }: NamespacePlan,
  added: ReadonlySet<string>,
): Promise<void> {
  const tables = wanted.filter(({ location }) => location !== null);
  if (tables.length === 0) return;
  const listed = new Map(
    (await listNamespaces(lancedb, database)).map((entry) => [entry.object_id, entry.location]),
  );
  const lost = tables.find(({ object_id: id, location }) => listed.get(id) !== location);
  if (lost) throw notFound(lost.object_id, `it is listed at ${listed.get(lost.object_id)}`);
  const connection = await lancedb.connect(database);
  try {
    for (const { object_id: id } of tables.filter((entry) => added.has(entry.object_id))) {
      const { name, namespacePath } = parseTableId(id);
      try {
        (await connection.openTable(name, namespacePath)).close();
      } catch (error) {
        throw notFound(id, reasonOf(error), error);
      }
    }
  } finally {
    connection.close();
  }
}

function notFound(id: string, reason: string, cause?: unknown): LanceError {
  return new LanceError(`Table ${id} is back, and LanceDB does not find it: ${reason}`, { cause });
}
