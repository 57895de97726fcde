import { livenessOfToken, PROCESS_TOKEN } from "../../fs/this-process.ts";
import type { Logger } from "../../logger.ts";
import { ABANDONED_SECONDS, ageOfScratch, SCRATCH_NAMES } from "../programs/scratch-names.ts";
import type { PostgresClient } from "./postgres-client.ts";
import { type PsqlSession, quoteName, quoteText } from "./psql-session.ts";
import { dropPostgres, inMaintenance } from "./restore-postgres.ts";

// Databases of restore tests. Each says in its comment whose it is, so that those of processes that died are found.

/** One without a comment was made by a process that died just then. */
const NAMELESS_SECONDS = 3600;

/** Says in a database that was just made that it is this process's. */
export async function nameScratchDatabase(session: PsqlSession, database: string): Promise<void> {
  await session.lines(`COMMENT ON DATABASE ${quoteName(database)} IS ${quoteText(PROCESS_TOKEN)};`);
}

export async function dropScratchDatabase(client: PostgresClient): Promise<void> {
  await dropPostgres(client, client.address.database);
}

/** Drops those that dead processes left. One that cannot be dropped is told, and left. */
export async function sweepScratchDatabases(
  client: PostgresClient,
  logger: Logger | undefined,
): Promise<void> {
  const found = await inMaintenance(client, (session) =>
    session.rows<{ name: string; token: string | null }>(
      `SELECT json_build_object('name', datname, 'token', shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname ~ ${quoteText(SCRATCH_NAMES)};`,
    ),
  );
  for (const { name, token } of found) {
    const life = token ? livenessOfToken(token, "") : "unknown";
    const longest = token ? ABANDONED_SECONDS : NAMELESS_SECONDS;
    if (life === "alive" || (life === "unknown" && ageOfScratch(name) <= longest)) continue;
    await dropPostgres(client, name).catch((error: unknown) => {
      logger?.warn("a database that a restore test left cannot be dropped", {
        database: name,
        error: String(error),
      });
    });
  }
}
