import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { syncDirectories, syncFile } from "../fs/durable.ts";
import { isError, isMissing } from "../fs/io.ts";
import { isInNamespace, listTables, NAMESPACE_TABLE } from "../lance/database.ts";
import { ImageReader, listManifests, manifestPath } from "../lance/image.ts";
import { syncNewest } from "../lance/namespaces.ts";
import { findManifest } from "../lance/put-back/state.ts";
import type { CapturedTable } from "./journal/entry-record.ts";
import type { Operation } from "./operation.ts";

/** How many files are synced at once. */
const AT_ONCE = 16;

/**
 * Puts on the disk what LanceDB wrote in this operation, which it never does itself: files that the captured
 * version did not have, then the manifests that name them, then the directories.
 */
export async function syncCommitted(operation: Operation): Promise<void> {
  for (const table of await tablesOf(operation)) {
    const directory = await operation.directoryOf(table.id);
    const dataset = directory && join(operation.database, directory);
    if (!dataset || !existsSync(dataset)) continue;
    await syncNewVersions(dataset, table.state === "present" ? table : undefined);
  }
  const { tables, namespaces = [] } = operation.record;
  if (operation.adoptsAll || namespaces.length > 0 || tables.some(({ id }) => isInNamespace(id)))
    await syncNewest(join(operation.database, NAMESPACE_TABLE));
  await syncDirectories([operation.database]);
}

/** Those of single-writer work too that nobody has named: they were made since. */
async function tablesOf(operation: Operation): Promise<readonly CapturedTable[]> {
  const { tables } = operation.record;
  if (!operation.adoptsAll) return tables;
  const known = new Set(tables.map(({ id }) => id));
  const made = (await listTables(operation.database)).filter(({ id }) => !known.has(id));
  return [...tables, ...made.map(({ id }) => ({ id, state: "absent" }) as const)];
}

async function syncNewVersions(
  dataset: string,
  captured: { readonly version: number; readonly digest: string } | undefined,
): Promise<void> {
  const reader = new ImageReader(dataset);
  const manifests = await listManifests(dataset);
  // Where it is not there, the table may have been dropped and made anew: then all that is there is new.
  const before = captured && (await findManifest(dataset, captured.version, captured.digest, manifests));
  const old = new Set(before ? (await reader.read(before)).files.map((file) => file.path) : []);
  const fresh = new Set<string>();
  const heads: string[] = [];
  for (const manifest of manifests.filter((name) => name.version > (before?.version ?? 0))) {
    try {
      for (const file of (await reader.read(manifest)).files) if (!old.has(file.path)) fresh.add(file.path);
      heads.push(manifestPath(manifest.name));
    } catch (error) {
      if (!isMissing(error)) throw error; // cleaned up meanwhile: no version any more
    }
  }
  await syncAll(dataset, [...fresh]);
  await syncAll(dataset, heads);
  const directories = [...fresh, ...heads].map((path) => join(dataset, dirname(path)));
  await syncDirectories([...directories, dataset]);
}

async function syncAll(dataset: string, paths: readonly string[]): Promise<void> {
  for (let i = 0; i < paths.length; i += AT_ONCE) {
    await Promise.all(
      paths.slice(i, i + AT_ONCE).map(async (path) => {
        try {
          await syncFile(join(dataset, path));
        } catch (error) {
          if (!isMissing(isError(error) ? error.cause : error)) throw error;
        }
      }),
    );
  }
}
