import { type BackupContext, backup } from "../engine/backup/backup.ts";
import type { Source } from "../engine/source.ts";
import { ValidationError } from "../errors.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import { LanceDBSource } from "../sources/lancedb/lancedb-source.ts";
import { detailsView, type TakenSnapshot } from "../sources/lancedb/snapshot-view.ts";
import { assertBackupOptions, type BackupOptions, sourcesIn } from "./backup-options.ts";

export interface TakeContext extends BackupContext {
  /** Which LanceDB the application has. */
  readonly lancedb?: LanceDB | undefined;
}

/** Takes a snapshot as `Repository.backup` says. */
export async function takeSnapshot(context: TakeContext, options: BackupOptions): Promise<TakenSnapshot> {
  assertBackupOptions(options);
  const { name, description, tags, failOnShrink, lockTimeoutMs, signal, onProgress } = options;
  const { tables, exclude, onUnsupported, history, allowEmpty } = options;
  const sources: Source[] = [];
  for (const source of sourcesIn(options)) {
    const { sourceId: id } = options;
    const isPath = typeof source === "string";
    sources.push(isPath ? await LanceDBSource.open(source, { id, lancedb: context.lancedb }) : source);
  }
  assertDifferent(sources);
  const { shrunk, ...content } = await backup(context, {
    ...{ sources, name, description, tags, failOnShrink, lockTimeoutMs, signal, onProgress },
    capture: { tables, exclude, onUnsupported, history, allowEmpty },
  });
  const snapshot = detailsView(content);
  return shrunk.length === 0 ? snapshot : { ...snapshot, shrunk };
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
