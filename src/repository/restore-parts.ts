import { assertKnown } from "../checks.ts";
import type { BlobStore } from "../engine/blobs/blob-store.ts";
import { readerOf } from "../engine/restore/read-entries.ts";
import type { PartContent, StoredContent } from "../engine/snapshot.ts";
import { loadKind, type RestoreUrlOptions } from "../engine/source-kind.ts";
import { schemeOfSource } from "../engine/source-url.ts";
import { UnsupportedError, ValidationError } from "../errors.ts";
import { localPath } from "../fs/local-path.ts";
import type { Logger } from "../logger.ts";
import { LANCEDB_KIND } from "../sources/lancedb/lancedb-part.ts";
import {
  assertApart,
  assertParallel,
  type RestoreOptions,
} from "../sources/lancedb/restore/restore-options.ts";
import type { RestoreReport } from "../sources/lancedb/restore/restore-report.ts";
import { withoutPassword } from "../util/without-password.ts";

/** A part of a snapshot, and where it goes. */
export interface RestoreTarget {
  /** Its source's type, where it is the only one of that; or its source's id. */
  readonly part: string;
  readonly target: string;
}

/** What is asked of parts that are no LanceDB databases. */
export interface PartOptions {
  /** Of files: those and what is below them alone, relative to the source's directory. Default: all. */
  paths?: readonly string[] | undefined;
  /** What the part's kind takes besides. */
  targetOptions?: RestoreUrlOptions | undefined;
}

/** Restores some parts of a snapshot, each to a place of its own. */
export interface RestorePartsOptions extends Omit<RestoreOptions, "target" | "source">, PartOptions {
  targets: readonly RestoreTarget[];
}

const OPTIONS: Readonly<Record<keyof Omit<RestorePartsOptions, "targets">, true>> = {
  paths: true,
  targetOptions: true,
  tables: true,
  as: true,
  at: true,
  versions: true,
  mode: true,
  link: true,
  verify: true,
  parallel: true,
  dryRun: true,
  lockTimeoutMs: true,
  signal: true,
  onProgress: true,
};

/** What was restored of each part, in the order of the targets. */
export interface RestorePartsReport extends RestoreReport {
  readonly parts: readonly RestoreReport[];
}

interface PartsPlace {
  readonly blobs: BlobStore;
  readonly logger: Logger;
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
  { blobs, logger }: PartsPlace,
  content: StoredContent,
  { targets, ...options }: RestorePartsOptions,
  restoreDatabase: RestoreDatabase,
): Promise<RestorePartsReport> {
  assertTargets(targets);
  assertKnown(options, "restore", OPTIONS);
  const chosen = targets.map(({ part, target }) => ({ part: partOf(content, part), target }));
  assertOnce(chosen.map(({ part }) => part.source.id));
  if (!chosen.some(isLanceDB)) assertOther(options);
  assertParallel(options.parallel);
  const { paths, targetOptions, ...ofDatabase } = options;
  const run = async (dryRun: boolean) => {
    const reports: RestoreReport[] = [];
    for (const one of chosen) {
      const { part, target } = one;
      reports.push(
        isLanceDB(one)
          ? await restoreDatabase(part.source.id, { ...ofDatabase, target, dryRun })
          : await restoreOther({ blobs, logger }, content, part, target, { ...options, dryRun }),
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
  { blobs, logger }: PartsPlace,
  { snapshot }: StoredContent,
  part: PartContent,
  target: string,
  { dryRun = false, mode = "new", ...options }: Omit<RestorePartsOptions, "targets">,
): Promise<RestoreReport> {
  const started = performance.now();
  const { source } = part;
  const kind = await loadKind(source.type);
  if (!kind?.restore) {
    throw new UnsupportedError(
      `The part ${source.uri} of snapshot ${snapshot.id} is of the kind ${source.type}, which cannot be restored here: registerSource makes a kind known.`,
    );
  }
  if (schemeOfSource(target) === undefined) assertApart(localPath(target, "target"), blobs);
  const { paths, tables, parallel, targetOptions, signal, onProgress } = options;
  const request = {
    ...{ part, target, mode, paths, tables, parallel, options: targetOptions },
    ...{ snapshot: snapshot.id, logger, signal, onProgress },
    ...readerOf(blobs, part, { parallel, signal }),
  };
  if (dryRun) await kind.planRestore?.(request);
  const done = (dryRun ? undefined : await kind.restore(request)) ?? {};
  const { files = part.files, bytes = part.bytes, leftOut = [] } = done;
  return {
    ...{
      snapshot: snapshot.id,
      source,
      target: withoutPassword(target),
      mode,
      dryRun,
      tables: [],
      files,
      bytes,
    },
    ...{ leftOut, leftAlone: [], durationMs: Math.round(performance.now() - started) },
  };
}

function isLanceDB({ part }: { readonly part: PartContent }): boolean {
  return part.source.type === LANCEDB_KIND.type;
}

/** What is asked of LanceDB alone would be passed over. */
function assertOther({ as, at, versions, link }: Partial<RestoreOptions>): void {
  const asked = Object.entries({ as, at, versions, link: link || undefined });
  const [name] = asked.find(([, value]) => value !== undefined) ?? [];
  if (name !== undefined) throw new ValidationError(`${name} is for LanceDB databases alone.`);
}

function assertTargets(targets: readonly RestoreTarget[]): void {
  if (!Array.isArray(targets)) throw new TypeError("targets must be a list of { part, target }.");
  for (const one of targets as readonly RestoreTarget[]) {
    assertKnown(one, "targets", { part: true, target: true });
    if (typeof one.part !== "string") throw new TypeError("part must be a source's type, or its id.");
    if (typeof one.target !== "string") throw new TypeError("target must be a path or an address.");
    if (one.target.trim() === "") throw new ValidationError("target is empty: say where to.");
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
