import { assertKnown, assertLogger } from "../../checks.ts";
import { defaultLogger, type Logger } from "../../logger.ts";

export interface ReplayOptions {
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  readonly logger?: Logger | undefined;
}

export function loggerOf(options: ReplayOptions, of: string): Logger {
  assertKnown(options, of, { logger: true });
  const { logger = defaultLogger() } = options;
  assertLogger(logger);
  return logger;
}
