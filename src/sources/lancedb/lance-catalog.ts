import { existsSync } from "node:fs";
import { type Candidates, Catalog, type ResolveOptions } from "../../engine/catalog/catalog.ts";
import type { DocumentCache } from "../../engine/catalog/document-reader.ts";
import type { SnapshotFilter } from "../../engine/catalog/filter.ts";
import type { NamedPlace } from "../../engine/catalog/of-source.ts";
import type { SourceWanted } from "../../engine/catalog/resolve.ts";
import type { DocumentCodec } from "../../engine/codec/document-codec.ts";
import { registerSource } from "../../engine/source-kind.ts";
import { BackupError } from "../../errors.ts";
import { localPath, realPath } from "../../fs/local-path.ts";
import { identifyDatabase } from "../../lance/database-identity.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Clock } from "../../util/clock.ts";
import { LANCEDB_KIND } from "./lancedb-part.ts";
import {
  type ChoosePart,
  contentView,
  detailsView,
  type Snapshot,
  type SnapshotContent,
  viewOf,
} from "./snapshot-view.ts";

registerSource(LANCEDB_KIND);

/** What a reference may stand for, as users see snapshots. */
export interface ViewedCandidates extends Omit<Candidates, "among"> {
  readonly among: readonly Snapshot[];
}

/** The snapshots of a repository as users see them: with the tables of their LanceDB parts. */
export class LanceCatalog {
  /** The same as they are stored. */
  readonly stored: Catalog;

  /** @param clock for tests. */
  constructor(
    place: {
      readonly storage: Storage;
      readonly logger: Logger;
      readonly cache?: DocumentCache | undefined;
      readonly documents?: DocumentCodec | undefined;
    },
    clock?: Pick<Clock, "now">,
  ) {
    this.stored = new Catalog({ ...place, identify: identifyPlace }, clock);
  }

  async list(filter?: SnapshotFilter, signal?: AbortSignal): Promise<Snapshot[]> {
    const choose = chooserOf({ source: filter?.source });
    return (await this.stored.list(filter, signal)).map((snapshot) => viewOf(snapshot, choose));
  }

  ids(signal?: AbortSignal): Promise<string[]> {
    return this.stored.ids(signal);
  }

  async get(reference: string, options: ResolveOptions = {}): Promise<SnapshotContent["snapshot"]> {
    const { snapshot, parts } = await this.stored.find(reference, options);
    const [labelled = snapshot] = await this.stored.labelled([snapshot], options.signal);
    return detailsView({ snapshot: labelled, parts }, chooserOf(options));
  }

  resolve(reference: string, options?: ResolveOptions): Promise<string> {
    return this.stored.resolve(reference, options);
  }

  async candidates(reference: string, options?: ResolveOptions): Promise<ViewedCandidates> {
    const { chosen, among } = await this.stored.candidates(reference, options);
    return { chosen, among: among.map((snapshot) => viewOf(snapshot, chooserOf(options))) };
  }

  /** What `resolve` answers with, whole. @throws as `content` */
  async find(reference: string, wanted?: ResolveOptions): Promise<SnapshotContent> {
    return contentView(await this.stored.find(reference, wanted), chooserOf(wanted));
  }

  /** @throws as `Catalog.content`; ValidationError where the snapshot has no LanceDB database, or several and none is meant. */
  async content(id: string, signal?: AbortSignal, wanted?: SourceWanted): Promise<SnapshotContent> {
    return contentView(await this.stored.content(id, signal), chooserOf(wanted));
  }

  async readable(
    id: string,
    signal?: AbortSignal,
    wanted?: SourceWanted,
  ): Promise<SnapshotContent | undefined> {
    const content = await this.stored.readable(id, signal);
    return content && contentView(content, chooserOf(wanted));
  }

  async newestOf(
    source: { readonly id: string } | { readonly uri: string },
    signal?: AbortSignal,
  ): Promise<SnapshotContent | undefined> {
    const content = await this.stored.newestOf(source, signal);
    return content && contentView(content, isOf(source));
  }

  async *newestFirst(
    source: { readonly id: string } | { readonly uri: string },
    signal?: AbortSignal,
    most?: number,
  ): AsyncGenerator<Snapshot> {
    for await (const snapshot of this.stored.newestFirst(source, signal, most)) {
      yield viewOf(snapshot, isOf(source));
    }
  }

  delete(id: string): Promise<void> {
    return this.stored.delete(id);
  }
}

function isOf(wanted: { readonly id: string } | { readonly uri: string }): ChoosePart {
  return ({ id, uri }) => ("id" in wanted ? id === wanted.id : uri === wanted.uri);
}

/** Which of several LanceDB parts a user means. */
export function chooserOf({ source, preferredSource }: SourceWanted = {}): ChoosePart | undefined {
  if (source === undefined) {
    return preferredSource === undefined ? undefined : ({ id }) => id === preferredSource;
  }
  const place = identifyPlace(source);
  const places = [source, ...place.uris];
  return ({ id, uri }) => id === source || id === place.id || places.includes(uri);
}

/** Which database is in a directory that a user names. */
function identifyPlace(wanted: string): NamedPlace {
  const path = pathFrom(wanted);
  if (path === undefined) return { uris: [] };
  return { id: idAt(path), uris: [path, realPath(path)] };
}

/** Undefined where it is none: an id, an address of something else. */
function pathFrom(wanted: string): string | undefined {
  try {
    return localPath(wanted, "source");
  } catch (error) {
    if (error instanceof BackupError) return undefined;
    throw error;
  }
}

function idAt(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const { id, origin } = identifyDatabase(path);
  return origin === "new" ? undefined : id;
}
