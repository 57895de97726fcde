import winston from "winston";

/**
 * What the package writes its steps to. Any object with these four methods will do: a winston or pino
 * logger, or `console`. `meta` holds plain values: ids, table names, versions, milliseconds.
 */
export interface Logger {
  debug(message: string, meta?: Record<string, unknown>): unknown;
  info(message: string, meta?: Record<string, unknown>): unknown;
  warn(message: string, meta?: Record<string, unknown>): unknown;
  error(message: string, meta?: Record<string, unknown>): unknown;
}

let shared: Logger | undefined;

/**
 * The default: a winston logger on stderr, so that a program's own output stays clean. Its level is
 * `warn`, or what the environment variable `LANCEDB_BACKUP_LOG` names (`debug`, `info`, `warn`, `error`).
 */
export function defaultLogger(): Logger {
  shared ??= winston.createLogger({
    level: process.env["LANCEDB_BACKUP_LOG"] ?? "warn",
    format: winston.format.combine(winston.format.timestamp(), winston.format.printf(formatLine)),
    transports: [new winston.transports.Console({ stderrLevels: ["error", "warn", "info", "debug"] })],
  });
  return shared;
}

function formatLine(entry: winston.Logform.TransformableInfo): string {
  const { level, message, timestamp, ...meta } = entry;
  const rest = Object.keys(meta).length > 0 ? ` ${JSON.stringify(meta)}` : "";
  return `${timestamp} lancedb-backup ${level}: ${message}${rest}`;
}
