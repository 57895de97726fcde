import { defaultLogger, type Logger } from "../../logger.ts";

export interface ReplayOptions {
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  readonly logger?: Logger | undefined;
}

export function loggerOf(options: ReplayOptions): Logger {
  return options.logger ?? defaultLogger();
}
