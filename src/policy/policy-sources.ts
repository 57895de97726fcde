import { loadKind } from "../engine/source-kind.ts";
import { UnsupportedError } from "../errors.ts";
import { placeShown } from "../repository/events.ts";
import { type CaptureRequest, type Source, sourceFromUrl } from "../repository/index.ts";
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
