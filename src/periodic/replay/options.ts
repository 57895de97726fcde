import { assertKnown, assertLogger } from "../../checks.ts";
import { LanceDB, type LanceDBOptions } from "../../lance/which-lancedb.ts";
import { defaultLogger, type Logger } from "../../logger.ts";

export interface ReplayOptions extends LanceDBOptions {
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  readonly logger?: Logger | undefined;
}

export interface ReplaySettings {
  readonly lancedb: LanceDB;
  readonly logger: Logger;
}

export function replaySettings(options: ReplayOptions, of: string): ReplaySettings {
  assertKnown(options, of, { logger: true, lancedb: true, connection: true });
  const { logger = defaultLogger() } = options;
  assertLogger(logger);
  return { lancedb: new LanceDB(options), logger };
}
