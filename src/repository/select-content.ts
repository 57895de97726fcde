import { existsSync } from "node:fs";
import { assertSignal } from "../checks.ts";
import type { ResolveOptions } from "../engine/catalog/catalog.ts";
import { schemeOfSource } from "../engine/source-url.ts";
import { localPath } from "../fs/local-path.ts";
import type { Logger } from "../logger.ts";
import type { LanceCatalog } from "../sources/lancedb/lance-catalog.ts";
import {
  assertSelection,
  type LeftOut,
  type RestoreOptions,
  type Selection,
} from "../sources/lancedb/restore/restore-options.ts";
import type { SnapshotContent } from "../sources/lancedb/snapshot-view.ts";
import { sourceFromUrl } from "../sources/source-from-url.ts";

/** The snapshot that is meant, and what it does not have of what was asked for. */
export interface ChosenContent {
  readonly content: SnapshotContent;
  readonly leftOut: readonly LeftOut[];
}

/**
 * Chooses the snapshot that a reference and a moment stand for.
 *
 * @param preferredSource the id of the database that is meant where several are possible.
 * @throws as `Repository.restore`.
 */
export async function selectContent(
  { catalog, logger }: { readonly catalog: LanceCatalog; readonly logger: Logger },
  id: string,
  options: Selection & ResolveOptions,
  preferredSource?: string,
): Promise<ChosenContent> {
  const { source, at, signal } = options ?? {};
  assertSignal(signal);
  const wanted = { source, preferredSource, signal };
  if (at === undefined) {
    return { content: await catalog.find(id, wanted), leftOut: [] };
  }
  assertSelection(options);
  const { findAtMoment } = await import("../sources/lancedb/restore/at-moment.ts");
  return findAtMoment({ catalog, logger, nowMs: Date.now() }, id, { ...options, at }, wanted);
}

/** The other parts of a snapshot of which the LanceDB database alone is restored. */
export function otherParts({ snapshot }: SnapshotContent): LeftOut[] {
  return snapshot.parts
    .filter(({ source }) => source.id !== snapshot.source.id || source.type !== snapshot.source.type)
    .map(({ source }) => ({
      table: source.uri,
      what: `the part of the kind ${source.type}: name it in targets to restore it`,
    }));
}

/** The source that a restore in place is to go into, where it has an id. */
export function inPlaceId(options: RestoreOptions): string | undefined {
  if (options?.mode !== "in-place" || typeof options.target !== "string") return undefined;
  const scheme = schemeOfSource(options.target);
  if (scheme !== undefined && scheme !== "file") return sourceFromUrl(options.target).id;
  return existsSync(localPath(options.target, "target")) ? sourceFromUrl(options.target).id : undefined;
}
