import { type BackupContext, type BackupRequest, backup } from "../engine/backup/back-up-sources.ts";
import type { Catalog } from "../engine/catalog/catalog.ts";
import type { Source } from "../engine/source-contract.ts";
import { ValidationError } from "../errors.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import { detailsView, type TakenSnapshot } from "../sources/lancedb/snapshot-view.ts";
import { openSources } from "../sources/source-from-url.ts";
import { assertBackupOptions, type BackupOptions, sourcesIn } from "./backup-options.ts";
import { placeShown } from "./events.ts";

export interface TakeContext extends BackupContext {
  /** Which LanceDB the application has. */
  readonly lancedb?: LanceDB | undefined;
}

/** As many of the newest snapshots are looked at for one that was taken at the same place of another source. */
const MOST_ELSEWHERE = 50;

export function takeContext(
  place: Pick<TakeContext, "blobs" | "logger" | "lancedb">,
  catalog: Catalog,
  signal: AbortSignal | undefined,
): TakeContext {
  return {
    ...place,
    previous: (source) => catalog.newestOf(source, signal),
    newestFirst: (source, most) => catalog.newestFirst(source, signal, most),
    onWritten: (id, object) => catalog.keep(id, object),
    previousAt: (uri) => catalog.newestOf({ uri }, signal, MOST_ELSEWHERE),
  };
}

/** Takes a snapshot as `Repository.backup` says. */
export async function takeSnapshot(context: TakeContext, options: BackupOptions): Promise<TakenSnapshot> {
  const { shrunk, ...content } = await backup(context, await backupRequestOf(context, options));
  const snapshot = detailsView(content);
  return shrunk.length === 0 ? snapshot : { ...snapshot, shrunk };
}

/** @throws ValidationError, TypeError for bad options; where a source is not there. */
export async function backupRequestOf(
  { lancedb }: Pick<TakeContext, "lancedb">,
  options: BackupOptions,
): Promise<BackupRequest> {
  assertBackupOptions(options);
  const { name, description, tags, failOnShrink, lockTimeoutMs, signal, onProgress } = options;
  const { tables, exclude, onUnsupported, history, allowEmpty, type } = options;
  const { sourceId, sourceOptions } = options;
  const sources = await openSources(sourcesIn(options), { ...sourceOptions, sourceId }, lancedb);
  assertDifferent(sources);
  return {
    ...{ sources, name, description, tags, failOnShrink, lockTimeoutMs, signal, onProgress },
    rereads: type === "full",
    capture: { tables, exclude, onUnsupported, history, allowEmpty },
  };
}

/** What an event says of a backup before it begins; the options need not have been checked. */
export function askedOf(options: BackupOptions): {
  readonly type: "backup";
  readonly sources: readonly string[];
  readonly kind: "full" | "incremental";
} {
  const sources: readonly unknown[] = [options?.source, options?.sources].flat();
  const named = sources.filter((source) => source !== undefined).map(placeShown);
  return { type: "backup", sources: named, kind: options?.type === "full" ? "full" : "incremental" };
}

/** What the log says of a snapshot that was taken, and of what is not in it. */
export function tellTaken(logger: Logger, snapshot: TakenSnapshot, ms: number): void {
  const { id, source, files, bytes, newFiles, newBytes, leftOut = [], tables } = snapshot;
  logger.info("snapshot taken", {
    ...{ snapshot: id, source: source.uri, files, bytes, newFiles, newBytes, ms },
  });
  for (const { table, why, what } of leftOut) {
    const isTable = source.type === "lancedb";
    logger.warn(`${isTable ? "a table" : "something"} is not in the snapshot`, { table, why, what });
  }
  for (const table of tables) {
    if (table.leftOut.length === 0) continue;
    const meta = { table: table.id, leftOut: table.leftOut };
    logger.warn("not everything of the table is in the snapshot", meta);
  }
}

function assertDifferent(sources: readonly Source[]): void {
  const seen = new Set<string>();
  for (const { type, id, uri } of sources) {
    const key = JSON.stringify([type, id]);
    if (seen.has(key))
      throw new ValidationError(`${uri} is named twice among the sources, or has the id of another.`);
    seen.add(key);
  }
}
