import { assertKnown } from "../checks.ts";
import type { BlobStore } from "../engine/blobs/blob-store.ts";
import type { PartContent, StoredContent } from "../engine/snapshot.ts";
import { kindOf } from "../engine/source-kind.ts";
import { UnsupportedError, ValidationError } from "../errors.ts";
import { localPath } from "../fs/local-path.ts";
import { LANCEDB_KIND } from "../sources/lancedb/lancedb-part.ts";
import type { RestoreOptions } from "../sources/lancedb/restore/options.ts";
import type { RestoreReport } from "../sources/lancedb/restore/report.ts";

/** A part of a snapshot, and where it goes. */
export interface RestoreTarget {
  /** Its source's type, where it is the only one of that; or its source's id. */
  readonly part: string;
  readonly target: string;
}

/** Restores some parts of a snapshot, each to a place of its own. */
export interface RestorePartsOptions extends Omit<RestoreOptions, "target" | "source"> {
  targets: readonly RestoreTarget[];
}

/** What was restored of each part, in the order of the targets. */
export interface RestorePartsReport extends RestoreReport {
  readonly parts: readonly RestoreReport[];
}

/** Restores the LanceDB part of this source's id. */
export type RestoreDatabase = (sourceId: string, options: RestoreOptions) => Promise<RestoreReport>;

/**
 * Restores parts. Everything that can be refused is, of all of them, before anything is written; then they are written one after the
 * other, each whole or not at all.
 *
 * @throws ValidationError for a part that there is not, or one that is not told from another. @throws UnsupportedError for one of
 * a kind that nobody has made known, or that cannot be restored.
 */
export async function restoreParts(
  blobs: BlobStore,
  content: StoredContent,
  { targets, ...options }: RestorePartsOptions,
  restoreDatabase: RestoreDatabase,
): Promise<RestorePartsReport> {
  assertTargets(targets);
  const chosen = targets.map(({ part, target }) => ({ part: partOf(content, part), target }));
  assertOnce(chosen.map(({ part }) => part.source.id));
  const run = async (dryRun: boolean) => {
    const reports: RestoreReport[] = [];
    for (const { part, target } of chosen) {
      const isDatabase = part.source.type === LANCEDB_KIND.type;
      reports.push(
        isDatabase
          ? await restoreDatabase(part.source.id, { ...options, target, dryRun })
          : await restoreOther(blobs, content, part, target, { ...options, dryRun }),
      );
    }
    return reports;
  };
  const planned = await run(true);
  const parts = options.dryRun ? planned : await run(false);
  const [first] = parts;
  if (!first) throw new ValidationError("targets is empty: name one part at least.");
  return { ...first, parts };
}

async function restoreOther(
  blobs: BlobStore,
  { snapshot }: StoredContent,
  part: PartContent,
  target: string,
  { dryRun = false, signal, onProgress }: Omit<RestorePartsOptions, "targets">,
): Promise<RestoreReport> {
  const started = performance.now();
  const { source, files, bytes } = part;
  const restore = kindOf(source.type)?.restore;
  if (!restore) {
    throw new UnsupportedError(
      `The part ${source.uri} of snapshot ${snapshot.id} is of the kind ${source.type}, which cannot be restored here: registerSource makes a kind known.`,
    );
  }
  const read = (entry: (typeof part.entries)[number]) => blobs.read({ table: source.uri, ...entry }, signal);
  if (!dryRun) await restore({ part, target, read, signal, onProgress });
  return {
    ...{ snapshot: snapshot.id, source, target, mode: "new", dryRun, tables: [], files, bytes },
    ...{ leftOut: [], leftAlone: [], durationMs: Math.round(performance.now() - started) },
  };
}

function assertTargets(targets: readonly RestoreTarget[]): void {
  if (!Array.isArray(targets)) throw new TypeError("targets must be a list of { part, target }.");
  for (const one of targets as readonly RestoreTarget[]) {
    assertKnown(one, "targets", { part: true, target: true });
    if (typeof one.part !== "string") throw new TypeError("part must be a source's type, or its id.");
    localPath(one.target, "target");
  }
  const places = targets.map(({ target }) => target);
  if (new Set(places).size < places.length) throw new ValidationError("Two parts have one target.");
}

function assertOnce(ids: readonly string[]): void {
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw new ValidationError(`The part of the source ${twice} is named twice.`);
}

/** @throws ValidationError naming the parts that there are. */
function partOf({ snapshot, parts }: StoredContent, wanted: string): PartContent {
  const byId = parts.find(({ source }) => source.id === wanted);
  if (byId) return byId;
  const [part, ...others] = parts.filter(({ source }) => source.type === wanted);
  if (part && others.length === 0) return part;
  const how = part ? `has ${others.length + 1} parts` : "has no part";
  const there = parts.map(({ source }) => `${source.type} ${source.uri} (id ${source.id})`).join(", ");
  throw new ValidationError(`Snapshot ${snapshot.id} ${how} ${JSON.stringify(wanted)}. It has ${there}.`);
}
