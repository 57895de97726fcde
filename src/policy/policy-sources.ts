import { readdirSync } from "node:fs";
import { loadKind } from "../engine/source-kind.ts";
import { UnsupportedError } from "../errors.ts";
import { localPath } from "../fs/local-path.ts";
import { thisProcess } from "../fs/this-process.ts";
import { identifyDatabase } from "../lance/database-identity.ts";
import { placeShown } from "../repository/events.ts";
import {
  type CaptureRequest,
  type Snapshot,
  type SnapshotSource,
  type Source,
  sourceFromUrl,
} from "../repository/index.ts";
import { parseMysqlUrl } from "../sources/mysql/mysql-address.ts";
import { parsePostgresUrl } from "../sources/postgresql/postgres-address.ts";
import { identityOfPath } from "../sources/source-identity.ts";
import type { SourceSection } from "./policy-schema.ts";

/** The sources of a policy. Nothing is read yet. @throws ValidationError, UnsupportedError */
export async function sourcesOf(sections: readonly SourceSection[]): Promise<Source[]> {
  return (await Promise.all(sections.map(sourcesOfSection))).flat();
}

async function sourcesOfSection(section: SourceSection): Promise<Source[]> {
  switch (section.type) {
    case "lancedb": {
      const { path, id: sourceId, tables, exclude, on_unsupported: onUnsupported, history } = section;
      return [asking(sourceFromUrl(path, { sourceId }), { tables, exclude, onUnsupported, history })];
    }
    case "filesystem":
    case "files":
      return filesOf(section);
    case "sqlite":
      return [sourceFromUrl(`sqlite:${section.path}`, { compact: section.compact, sourceId: section.id })];
    case "postgresql": {
      const { connection, schemas, tables, exclude: excludeTables, format, jobs, id: sourceId } = section;
      return [sourceFromUrl(connection, { schemas, tables, excludeTables, format, jobs, sourceId })];
    }
    case "mysql":
    case "mariadb": {
      const { connection, tables, exclude: excludeTables, id: sourceId } = section;
      return [sourceFromUrl(connection, { tables, excludeTables, sourceId })];
    }
    case "command":
      return [sourceFromUrl(`command:${section.name}`, { argv: section.command })];
  }
}

/** As files also where a database lies there: all of what is below is wanted. */
async function filesOf(section: Extract<SourceSection, { type: "files" | "filesystem" }>): Promise<Source[]> {
  const { exclude, exclude_from: from, one_file_system: oneFileSystem } = section;
  const kind = await loadKind("files");
  if (!kind?.fromUrl) throw new UnsupportedError("This version has no sources of the type files.");
  const { fromUrl } = kind;
  const excludeFrom = from === undefined ? undefined : [from];
  return Promise.all(
    section.paths.map(async (path) => fromUrl(path, { exclude, excludeFrom, oneFileSystem })),
  );
}

/** The same source, asked for what its policy says of it. */
function asking(source: Source, wanted: Partial<CaptureRequest>): Source {
  const { type, uri, root, keepsStill, isIdDerived } = source;
  const given = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
  if (Object.keys(given).length === 0) return source;
  return {
    ...{ type, uri, root, keepsStill, isIdDerived },
    get id() {
      return source.id;
    },
    ...(source.keepId && { keepId: () => source.keepId?.() ?? Promise.resolve(source.id) }),
    ...(source.check && {
      check: (request) => source.check?.({ ...request, ...given }) ?? Promise.resolve(""),
    }),
    capture: (request) => source.capture({ ...request, ...given }),
  };
}

/**
 * Which source a policy means, without asking it. `id`: told by its id alone, wherever it is. `place`: its id or address says where it
 * is on one machine, and another machine's may be another. `new`: there has never been a snapshot of it.
 */
interface MeantSource {
  readonly type: string;
  readonly by: "id" | "place" | "new";
  readonly id?: string | undefined;
  readonly uri?: string | undefined;
}

/**
 * Why snapshots are looked for. `to run`: those of another machine's source must not pass for this one's, or it would never be backed
 * up. `to tell`: from any machine that can read the repository, where the sources need not be.
 */
export type SnapshotsFor = "to run" | "to tell";

/** Tells the snapshots that have all sources of a policy. None has where its sources cannot be told. */
export function hasSourcesOf(
  sections: readonly SourceSection[],
  why: SnapshotsFor,
): (snapshot: Snapshot) => boolean {
  const meant = meantBy(sections);
  if (!meant) return () => false;
  return ({ parts }) => meant.every((wanted) => parts.some(({ source }) => isMeant(source, wanted, why)));
}

/** What tells the sources of a policy from those of others, for the lease of its runs. */
export function sourceKeysOf(sections: readonly SourceSection[]): string[] {
  const keys = (meantBy(sections) ?? []).map(({ type, by, id, uri }) =>
    by === "id" ? [type, id] : [type, uri ?? id, thisProcess.host],
  );
  return [...new Set(keys.map((key) => JSON.stringify(key)))].sort();
}

function isMeant({ type, id, uri, host }: SnapshotSource, wanted: MeantSource, why: SnapshotsFor): boolean {
  if (type !== wanted.type || wanted.by === "new") return false;
  if (wanted.by === "id") return id === wanted.id;
  const isThere = id === wanted.id || uri === wanted.uri;
  return isThere && (why === "to tell" || host === thisProcess.host);
}

/** Undefined where an address cannot be understood, or a place not be looked at: the run tells why. */
function meantBy(sections: readonly SourceSection[]): readonly MeantSource[] | undefined {
  try {
    return sections.flatMap(meantBySection);
  } catch {
    return undefined;
  }
}

function meantBySection(section: SourceSection): MeantSource[] {
  switch (section.type) {
    case "filesystem":
    case "files":
      return section.paths.map((path) => {
        const uri = localPath(path, "source");
        return { type: "files", by: "place", id: identityOfPath("files", uri), uri };
      });
    case "lancedb":
      return [databaseMeant(section.path, section.id)];
    case "sqlite": {
      const { type, id } = sourceFromUrl(`sqlite:${section.path}`, { sourceId: section.id });
      return [{ type, by: section.id === undefined ? "place" : "id", id }];
    }
    case "postgresql":
      return [serverMeant("postgresql", parsePostgresUrl(section.connection), section.id)];
    case "mysql":
    case "mariadb":
      return [serverMeant("mysql", parseMysqlUrl(section.connection), section.id)];
    case "command": {
      const { type, id } = sourceFromUrl(`command:${section.name}`, { argv: section.command });
      return [{ type, by: "place", id }];
    }
  }
}

function serverMeant(
  type: string,
  { id, isLocal }: { readonly id: string; readonly isLocal: boolean },
  chosen: string | undefined,
): MeantSource {
  return { type, by: isLocal && chosen === undefined ? "place" : "id", id: chosen ?? id };
}

/** A LanceDB database, or files where there is none. */
function databaseMeant(path: string, chosen: string | undefined): MeantSource {
  const { type, id: idOfSource, uri } = sourceFromUrl(path, { sourceId: chosen });
  if (chosen !== undefined) return { type, by: "id", id: chosen };
  if (type !== "lancedb") return { type, by: "place", id: idOfSource, uri };
  const { id, origin } = identifyDatabase(localPath(path, "source"));
  if (origin === "kept") return { type, by: "id", id };
  // A mount point without its disk is not a database that has never been backed up.
  if (origin === "new" && readdirSync(uri).length > 0) return { type, by: "new", uri };
  return { type, by: "place", id, uri };
}

/** Where the sources are, for people and for labels. No password is in it, and of an address no query. */
export function sourcesShown(sections: readonly SourceSection[]): string {
  return sections.map(shownOf).join(", ");
}

function shownOf(section: SourceSection): string {
  switch (section.type) {
    case "lancedb":
    case "sqlite":
      return section.path;
    case "filesystem":
    case "files":
      return section.paths.join(", ");
    case "command":
      return `command:${section.name}`;
    default:
      return placeShown(section.connection);
  }
}
