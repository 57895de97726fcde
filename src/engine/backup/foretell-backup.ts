import { isNotFound } from "../../errors.ts";
import type { ShrunkTable } from "../../util/shrunk-tables.ts";
import type { JsonObject, PartContent } from "../snapshot.ts";
import type { Source } from "../source-contract.ts";
import { assertApart, assertNameable, detailsOf, entriesOf } from "./assert-capturable.ts";
import type { BackupContext, BackupRequest } from "./back-up-sources.ts";
import { captureTogether } from "./capture-together.ts";
import { lookForShrunk } from "./look-for-shrunk.ts";
import { planBackup } from "./plan-backup.ts";

/** A number of files, and their bytes as far as they are known. */
export interface FileCount {
  readonly files: number;
  readonly bytes: number;
}

/** What a backup would make of a source. */
export interface ForetoldPart {
  readonly source: Pick<Source, "type" | "id" | "uri">;
  /** The source's snapshot before, by its id; undefined where there is none. */
  readonly before?: string | undefined;
  /**
   * Whether it could be looked at without running or reading it. Of one that could not, as a database server or a program's output,
   * nothing is said: all of it is read each time.
   */
  readonly isForetold: boolean;
  /** Known from the snapshot before: not read. */
  readonly known: FileCount;
  /** To be read. What the repository has already of it, of other snapshots, is found then, and not stored: so much is new at most. */
  readonly read: FileCount;
  /** What its kind would say of it; undefined where it is not foretold. */
  readonly said?: { readonly about: JsonObject; readonly details: JsonObject } | undefined;
}

export interface ForetoldBackup {
  readonly parts: readonly ForetoldPart[];
  readonly shrunk: readonly ShrunkTable[];
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** What is not held may vanish while it is looked at. */
const MOST_LOOKS = 10;
const NONE: FileCount = { files: 0, bytes: 0 };

/** Looks at what a backup would read. Writes nothing: no lease, no lock, no id, no link. @throws what the backup would throw so far */
export async function foretellBackup(
  context: BackupContext,
  request: BackupRequest,
): Promise<ForetoldBackup> {
  request.signal?.throwIfAborted();
  for (const source of request.sources) assertApart(source, context.blobs.storage.local?.root);
  for (let turn = 1; ; turn++) {
    try {
      return await foretell(context, request);
    } catch (error) {
      if (!isNotFound(error) || turn === MOST_LOOKS) throw error;
    }
  }
}

async function foretell(context: BackupContext, request: BackupRequest): Promise<ForetoldBackup> {
  const { sources, capture: wanted, signal, lockTimeoutMs: timeoutMs = DEFAULT_TIMEOUT_MS } = request;
  const { logger, newestFirst } = context;
  const previous = new Map(
    await Promise.all(sources.map(async (source) => [source, await context.previous(source)] as const)),
  );
  const partBefore = (source: Source): PartContent | undefined =>
    previous
      .get(source)
      ?.parts.find((part) => part.source.type === source.type && part.source.id === source.id);
  const requestOf = (source: Source) => ({
    ...{ ...wanted, signal, logger, writesNothing: true, previous: partBefore(source) },
  });
  const seen = sources.filter(({ canBeLookedAt }) => canBeLookedAt);
  await using captures = await captureTogether(seen, requestOf, { timeoutMs, signal, logger });
  const parts: ForetoldPart[] = [];
  const shrunk: ShrunkTable[] = [];
  for (const source of sources) {
    const { type, id, uri } = source;
    const before = previous.get(source);
    const base = { source: { type, id, uri }, ...(before && { before: before.snapshot.id }) };
    if (!seen.includes(source)) {
      parts.push({ ...base, isForetold: false, known: NONE, read: NONE });
      continue;
    }
    const capture = captures.of(source);
    const entries = await entriesOf(capture, uri);
    assertNameable(entries, uri);
    const { toRead, bytesToRead } = planBackup(entries, partBefore(source), { rereads: request.rereads });
    const own = entries.filter(({ sameAs }) => sameAs === undefined);
    const bytes = own.reduce((sum, { size = 0 }) => sum + size, 0);
    const read = { files: toRead.length, bytes: bytesToRead };
    const known = { files: own.length - read.files, bytes: bytes - read.bytes };
    const { holdings } = capture;
    if (holdings) {
      const { failOnShrink = false } = request;
      const compared = { source, holdings, previous: before, newestFirst, tables: wanted.tables };
      shrunk.push(...(await lookForShrunk({ ...compared, failOnShrink, logger })));
    }
    parts.push({ ...base, isForetold: true, known, read, said: detailsOf(await capture.finish(), uri) });
  }
  return { parts, shrunk };
}
