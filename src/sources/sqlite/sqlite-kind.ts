import type { PartContent, StoredEntry } from "../../engine/snapshot.ts";
import type { PartToRestore, SourceKind } from "../../engine/source-kind.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import type { DatabaseFacts } from "./inspect-database.ts";
import { assertTarget, type DatabaseContent, restoreDatabaseFile, tryDatabase } from "./restore-sqlite.ts";
import { entryOf, holdingsOf, readAbout } from "./sqlite-part.ts";
import { isSqliteUrl, sqlitePath } from "./sqlite-path.ts";
import { SqliteSource } from "./sqlite-source.ts";

/** SQLite databases, for the registry of kinds. */
export const SQLITE_KIND: SourceKind = {
  type: "sqlite",
  schemes: ["sqlite"],
  urlOptions: ["compact", "timeoutMs"],
  fromUrl: (url, { sourceId: id, compact, timeoutMs }) =>
    SqliteSource.open(sqlitePath(url), { id, compact, timeoutMs }),
  assertAbout: (part, place) => void readAbout(part, place),
  assertPart: (part, place) => void entryOf(part, place),
  holdings: (part) => holdingsOf(readAbout(part, part.source.uri)),
  async planRestore(request) {
    assertWhole(request);
    entryOf(request.part, request.part.source.uri);
    assertTarget(pathOf(request.target), request.mode ?? "new");
  },
  async restore(request) {
    assertWhole(request);
    const { part, target, mode = "new", read, logger, signal, onProgress } = request;
    const content = contentOf(part, read);
    const facts = await restoreDatabaseFile({ content, target: pathOf(target), mode, signal, onProgress });
    const { violations } = facts;
    if (violations.length === 0) return;
    logger?.warn("rows refer to rows that are not there (foreign keys), as when they were backed up", {
      target,
      violations,
    });
  },
  async test({ part, scratch, read, signal, onProgress }) {
    const facts = await tryDatabase(contentOf(part, read), scratch, { signal, onProgress });
    return compareRows(part, facts);
  },
};

/** What is asked of other kinds would be passed over. */
function assertWhole({ paths, tables, options = {} }: PartToRestore): void {
  const [name] = Object.entries({ paths, tables, ...options }).find(([, value]) => value !== undefined) ?? [];
  if (name === undefined) return;
  throw new ValidationError(`A SQLite database is restored as a whole: the option ${name} does not apply.`);
}

/** A path, or an address. */
function pathOf(target: string): string {
  return sqlitePath(isSqliteUrl(target) ? target : `sqlite:${target}`);
}

function contentOf(
  part: PartContent,
  read: (entry: StoredEntry) => AsyncIterable<Uint8Array>,
): DatabaseContent {
  const entry = entryOf(part, part.source.uri);
  const { size, sha256, attributes } = entry;
  return { size, sha256, mode: attributes?.mode, name: part.source.uri, read: () => read(entry) };
}

/** @throws CorruptError where a table has not the rows that it had. */
function compareRows(part: PartContent, facts: DatabaseFacts): string {
  const now = new Map(facts.tables.map(({ name, rows }) => [name, rows]));
  const { tables } = readAbout(part, part.source.uri);
  let total = 0;
  for (const { name, rows } of tables) {
    const found = now.get(name);
    total += found ?? 0;
    if (rows === undefined || found === undefined || rows === found) continue;
    throw new CorruptError(`The table ${name} of ${part.source.uri} has ${found} rows, and had ${rows}.`);
  }
  const missing = tables.find(({ name }) => !now.has(name));
  if (missing) throw new CorruptError(`The table ${missing.name} of ${part.source.uri} is not there.`);
  return `${tables.length} tables with ${total} rows, every page, index and foreign key checked`;
}
