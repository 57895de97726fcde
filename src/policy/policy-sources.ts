import { type CaptureRequest, type Source, sourceFromUrl } from "../repository/index.ts";
import type { SourceSection } from "./policy-schema.ts";

/** The sources of a policy. Nothing is read yet. @throws ValidationError, UnsupportedError */
export function sourcesOf(sections: readonly SourceSection[]): Source[] {
  return sections.flatMap(sourcesOfSection);
}

function sourcesOfSection(section: SourceSection): Source[] {
  switch (section.type) {
    case "lancedb": {
      const { path, id: sourceId, tables, exclude, on_unsupported: onUnsupported, history } = section;
      return [asking(sourceFromUrl(path, { sourceId }), { tables, exclude, onUnsupported, history })];
    }
    case "filesystem":
    case "files": {
      const { exclude, exclude_from: from, one_file_system: oneFileSystem } = section;
      const excludeFrom = from === undefined ? undefined : [from];
      return section.paths.map((path) => sourceFromUrl(path, { exclude, excludeFrom, oneFileSystem }));
    }
    case "sqlite":
      return [sourceFromUrl(`sqlite:${section.path}`, { compact: section.compact, sourceId: section.id })];
    case "postgresql": {
      const { connection, schemas, tables, exclude: excludeTables, format, jobs, id: sourceId } = section;
      return [sourceFromUrl(connection, { schemas, tables, excludeTables, format, jobs, sourceId })];
    }
    case "mysql":
    case "mariadb": {
      const { connection, tables, exclude: excludeTables, jobs, id: sourceId } = section;
      return [sourceFromUrl(connection, { tables, excludeTables, jobs, sourceId })];
    }
    case "command":
      return [sourceFromUrl(`command:${section.name}`, { argv: section.command })];
  }
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
    capture: (request) => source.capture({ ...request, ...given }),
  };
}
