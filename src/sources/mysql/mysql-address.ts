import { ValidationError } from "../../errors.ts";
import { parseDatabaseUrl, placeOf } from "../programs/database-url.ts";

/** How strictly TLS is asked for, in MySQL's words. */
type SslMode = "DISABLED" | "PREFERRED" | "REQUIRED" | "VERIFY_CA" | "VERIFY_IDENTITY";

/** Where a MySQL or MariaDB database is, and how it is connected to. */
export interface MysqlAddress {
  /** For people: `mysql://host:port/database`. */
  readonly uri: string;
  /** The same for whatever user asks, and whether it is called `mysql:` or `mariadb:`. */
  readonly id: string;
  /** Whether others may mean another database by the same address: it is one of this machine. */
  readonly isLocal: boolean;
  readonly database: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Undefined: by a socket. */
  readonly host: string | undefined;
  readonly port: number;
  readonly socket: string | undefined;
  /** Undefined: as the programs do by themselves. */
  readonly sslMode: SslMode | undefined;
  /** `ssl-ca` and such, by their names as options. */
  readonly ssl: Readonly<Record<string, string>>;
  /** Seconds. */
  readonly connectTimeout: number;
}

const EXAMPLE = "mysql://user:password@host:3306/database?ssl-mode=VERIFY_IDENTITY";
const DEFAULT_PORT = 3306;
const CONNECT_TIMEOUT = 30;
const MODES: readonly string[] = ["DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"];
const SSL_FILES = ["ssl-ca", "ssl-capath", "ssl-cert", "ssl-key", "ssl-crl"];
const PARAMETERS = ["ssl-mode", ...SSL_FILES, "socket", "connect-timeout"];

/**
 * Reads `mysql://user:password@host:port/database?ssl-mode=…`; `mariadb:` is the same.
 *
 * @throws ValidationError without a word of the address.
 */
export function parseMysqlUrl(url: string, environment: NodeJS.ProcessEnv = process.env): MysqlAddress {
  const parsed = parseDatabaseUrl(url, EXAMPLE);
  const { scheme, user, password, host, port = DEFAULT_PORT, database, parameters } = parsed;
  const refuse = (why: string) =>
    new ValidationError(`The address of the database ${why}. Write ${EXAMPLE}.`);
  if (scheme !== "mysql" && scheme !== "mariadb") throw refuse("does not begin with mysql:// or mariadb://");
  if (database === "") throw refuse("names no database");
  for (const name of parameters.keys()) {
    if (!PARAMETERS.includes(name)) {
      throw refuse(`has a parameter ${JSON.stringify(name)}; there are ${PARAMETERS.join(", ")}`);
    }
  }
  const socket = parameters.get("socket");
  if (socket !== undefined && host !== "" && host !== "localhost") throw refuse("names a host and a socket");
  const isSocket = socket !== undefined || host === "";
  const uri = placeOf("mysql", socket ?? (isSocket ? "localhost" : host), port, database);
  return {
    uri,
    id: uri.replace("://", ":"),
    isLocal: isSocket || host === "localhost" || host === "::1" || host.startsWith("127."),
    ...{ database, user, password: password ?? (environment["MYSQL_PWD"] || undefined) },
    ...{ host: isSocket ? undefined : host, port, socket },
    sslMode: sslModeOf(parameters.get("ssl-mode"), refuse),
    ssl: Object.fromEntries([...parameters].filter(([name]) => SSL_FILES.includes(name))),
    connectTimeout: secondsOf(parameters.get("connect-timeout"), refuse),
  };
}

function sslModeOf(value: string | undefined, refuse: (why: string) => Error): SslMode | undefined {
  const mode = value?.toUpperCase().replaceAll("-", "_");
  if (mode === undefined) return undefined;
  if (!MODES.includes(mode)) throw refuse(`has an ssl-mode that is not one of ${MODES.join(", ")}`);
  return mode as SslMode;
}

function secondsOf(value: string | undefined, refuse: (why: string) => Error): number {
  if (value === undefined) return CONNECT_TIMEOUT;
  if (!/^[1-9]\d{0,4}$/.test(value)) throw refuse("has a connect-timeout that is not a number of seconds");
  return Number(value);
}
