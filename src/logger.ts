import type { Logform, Logger as WinstonLogger } from "winston";
import { requireHere } from "./require-here.ts";

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
 * `warn`, or what the environment variable `LANCEDB_BACKUP_LOG` names (`debug`, `info`, `warn`, `error`). Winston is
 * loaded when something is first logged.
 */
export function defaultLogger(): Logger {
  let winston: Logger | undefined;
  const level = (name: keyof Logger) => (message: string, meta?: Record<string, unknown>) => {
    winston ??= winstonLogger() ?? plainLogger();
    winston[name](message, meta);
  };
  shared ??= { debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") };
  return shared;
}

const levelWanted = () => process.env["LANCEDB_BACKUP_LOG"] ?? "warn";

/** Undefined where winston is not beside this package: a bundler has packed one and not the other. */
function winstonLogger(): WinstonLogger | undefined {
  const winston = requireHere<typeof import("winston")>("winston");
  if (winston === undefined) return undefined;
  const { format, transports } = winston;
  return winston.createLogger({
    level: levelWanted(),
    format: format.combine(format.timestamp(), format.printf(formatLine)),
    transports: [new transports.Console({ stderrLevels: ["error", "warn", "info", "debug"] })],
  });
}

const LEVELS: readonly string[] = ["error", "warn", "info", "debug"] satisfies (keyof Logger)[];

function plainLogger(): Logger {
  const most = LEVELS.indexOf(levelWanted());
  const write = (level: keyof Logger) => (message: string, meta?: Record<string, unknown>) => {
    if (LEVELS.indexOf(level) > most) return;
    process.stderr.write(`${formatLine({ level, message, timestamp: new Date().toISOString(), ...meta })}\n`);
  };
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

function formatLine(entry: Logform.TransformableInfo): string {
  const { level, message, timestamp, ...meta } = entry;
  const rest = Object.keys(meta).length > 0 ? ` ${JSON.stringify(meta)}` : "";
  return `${timestamp} lancedb-backup ${level}: ${message}${rest}`;
}
