import { createWriteStream, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { makeTemporaryScratch } from "../../engine/scratch.ts";
import type { PartContent } from "../../engine/snapshot.ts";
import type { PartToRestore, PartToTest, SourceKind } from "../../engine/source-kind.ts";
import { toIoError } from "../../fs/io.ts";
import { scratchOf } from "../programs/scratch-names.ts";
import { assertAll } from "../programs/server-database.ts";
import { proved } from "../proved-entry.ts";
import { type PostgresAddress, parsePostgresUrl } from "./postgres-address.ts";
import { type ClientOptions, PostgresClient } from "./postgres-client.ts";
import { dumpEntries, holdingsOf, readAbout, readDetails } from "./postgres-part.ts";
import { assertJobs, PostgresSource } from "./postgres-source.ts";
import { inspectTarget, type PostgresContent, restorePostgres } from "./restore-postgres.ts";
import { dropScratchDatabase, nameScratchDatabase, sweepScratchDatabases } from "./scratch-database.ts";

/** Where a restore test makes its database. Default: on the server of the source, by libpq's own ways to log in. */
const SCRATCH_URL = "LANCEDB_BACKUP_POSTGRESQL_SCRATCH";

/** PostgreSQL databases, among the kinds of sources. */
export const POSTGRES_KIND: SourceKind = {
  type: "postgresql",
  schemes: ["postgresql", "postgres"],
  urlOptions: [
    "format",
    "jobs",
    "globals",
    "binDir",
    "env",
    "schemas",
    "excludeSchemas",
    "tables",
    "excludeTables",
  ],
  fromUrl: (url, { sourceId: id, format, jobs, globals, binDir, env, ...rest }) => {
    const { schemas, excludeSchemas, tables, excludeTables } = rest;
    const selection = { schemas, excludeSchemas, tables, excludeTables };
    return PostgresSource.open(url, { id, format, jobs, globals, binDir, env, ...selection });
  },
  assertAbout: (part, place) => void readAbout(part, place),
  assertPart(part, place) {
    readDetails(part, place);
    dumpEntries(part, readAbout(part, place).format, place);
  },
  holdings: (part) => holdingsOf(readAbout(part, part.source.uri)),
  async planRestore(request) {
    assertAll(request);
    const { part, target, mode, options: { jobs, env, binDir } = {}, signal } = request;
    assertJobs(jobs);
    const address = parsePostgresUrl(target, { ...process.env, ...env });
    await using client = await PostgresClient.open(address, { env, binDir, signal });
    await inspectTarget(client, factsOf(part), { mode });
  },
  async restore({ target, mode, options = {}, ...request }) {
    const { jobs, env, binDir } = options;
    const address = parsePostgresUrl(target, { ...process.env, ...env });
    await restoreInto(address, request, { mode, jobs, env, binDir, signal: request.signal });
  },
  async test({ scratch: _scratch, ...request }) {
    const { part, signal, logger } = request;
    const address = scratchOf(parsePostgresUrl(process.env[SCRATCH_URL] || part.source.uri));
    await using client = await PostgresClient.open(address, { signal });
    await sweepScratchDatabases(client, logger);
    try {
      await restoreInto(address, request, {
        signal,
        onCreated: (session) => nameScratchDatabase(session, address.database),
      });
    } finally {
      await dropScratchDatabase(client);
    }
    const { tables } = readAbout(part, part.source.uri);
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    return `restored into a database of ${address.uri.replace(/\/[^/]*$/, "")}: ${tables.length} tables, ${rows} rows`;
  },
};

function factsOf(part: PartContent): Omit<PostgresContent, "read" | "directory" | "tables"> {
  const { uri } = part.source;
  const { format, serverVersion } = readAbout(part, uri);
  const { serverMajor, encoding, collate, ctype, programMajor } = readDetails(part, uri);
  return { format, programMajor, facts: { serverVersion, serverMajor, encoding, collate, ctype } };
}

async function restoreInto(
  address: PostgresAddress,
  { part, read }: Pick<PartToRestore, "part" | "read"> | Pick<PartToTest, "part" | "read">,
  options: ClientOptions & Parameters<typeof restorePostgres>[2],
): Promise<void> {
  const { uri } = part.source;
  const { tables, format } = readAbout(part, uri);
  const entries = dumpEntries(part, format, uri);
  const content = { ...factsOf(part), tables };
  const [entry] = entries;
  if (format !== "directory" && entry) {
    return restorePostgres(address, { ...content, read: () => proved(entry, read(entry), uri) }, options);
  }
  const scratch = await makeTemporaryScratch();
  try {
    const directory = join(scratch.directory, "dump");
    mkdirSync(directory, { mode: 0o700 });
    for (const one of entries) {
      const file = join(directory, basename(one.path));
      await pipeline(
        Readable.from(proved(one, read(one), uri)),
        createWriteStream(file, { flags: "wx" }),
      ).catch((error: unknown) => {
        throw toIoError(error, "write", file);
      });
    }
    await restorePostgres(address, { ...content, directory }, options);
  } finally {
    await scratch.remove();
  }
}
