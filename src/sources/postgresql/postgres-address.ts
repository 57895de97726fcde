import { ValidationError } from "../../errors.ts";
import { parseDatabaseUrl, placeOf } from "../programs/database-url.ts";

/** Where a PostgreSQL database is, and how it is connected to. */
export interface PostgresAddress {
  /** For people: `postgresql://host:port/database`. */
  readonly uri: string;
  /** The same for whatever user asks. */
  readonly id: string;
  /** Whether others may mean another database by the same address: it is one of this machine. */
  readonly isLocal: boolean;
  readonly database: string;
  readonly password: string | undefined;
  /** libpq's variables for all but the database and the password. */
  readonly env: Readonly<Record<string, string>>;
}

const EXAMPLE = "postgresql://user:password@host:5432/database?sslmode=verify-full";

/** Parameters of libpq that have a variable. Others are refused by name, since they could not be kept to. */
const PARAMETERS: Readonly<Record<string, string>> = {
  host: "PGHOST",
  hostaddr: "PGHOSTADDR",
  port: "PGPORT",
  user: "PGUSER",
  passfile: "PGPASSFILE",
  sslmode: "PGSSLMODE",
  sslrootcert: "PGSSLROOTCERT",
  sslcert: "PGSSLCERT",
  sslkey: "PGSSLKEY",
  sslcrl: "PGSSLCRL",
  sslcrldir: "PGSSLCRLDIR",
  sslsni: "PGSSLSNI",
  sslnegotiation: "PGSSLNEGOTIATION",
  ssl_min_protocol_version: "PGSSLMINPROTOCOLVERSION",
  ssl_max_protocol_version: "PGSSLMAXPROTOCOLVERSION",
  channel_binding: "PGCHANNELBINDING",
  require_auth: "PGREQUIREAUTH",
  gssencmode: "PGGSSENCMODE",
  krbsrvname: "PGKRBSRVNAME",
  connect_timeout: "PGCONNECT_TIMEOUT",
  target_session_attrs: "PGTARGETSESSIONATTRS",
  application_name: "PGAPPNAME",
  options: "PGOPTIONS",
};

/** Which variables say where the server is: one from outside would lead what the address leaves open elsewhere. */
const PLACE = new Set(["PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGDATABASE", "PGUSER"]);

const DEFAULT_PORT = "5432";
/** Seconds. libpq waits for as long as the system does, which may be for ever. */
const CONNECT_TIMEOUT = "30";

/**
 * Reads `postgresql://user:password@host:port/database?sslmode=…`, and what it leaves open out of libpq's variables.
 *
 * @throws ValidationError without a word of the address.
 */
export function parsePostgresUrl(url: string, environment: NodeJS.ProcessEnv = process.env): PostgresAddress {
  const { scheme, user, password, host, port, database, parameters } = parseDatabaseUrl(url, EXAMPLE);
  const refuse = (why: string) =>
    new ValidationError(`The address of the database ${why}. Write ${EXAMPLE}.`);
  if (scheme !== "postgresql" && scheme !== "postgres") throw refuse("does not begin with postgresql://");
  if (database === "") throw refuse("names no database");
  if (Buffer.byteLength(database) > 63) throw refuse("names a database of more than 63 bytes");
  const said: Record<string, string> = {};
  if (host !== "") said["PGHOST"] = host;
  if (port !== undefined) said["PGPORT"] = String(port);
  if (user !== undefined) said["PGUSER"] = user;
  for (const [name, value] of parameters) {
    const variable = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
    if (variable === undefined) {
      throw refuse(
        `has a parameter ${JSON.stringify(name)}; there are ${Object.keys(PARAMETERS).join(", ")}`,
      );
    }
    if (said[variable] !== undefined) throw refuse(`says ${name} twice`);
    said[variable] = value;
  }
  const env = variables(said, environment);
  const at = env["PGHOST"] ?? "localhost";
  const atPort = env["PGPORT"] ?? DEFAULT_PORT;
  if (at.includes(",") || atPort.includes(",")) throw refuse("names several hosts");
  const uri = placeOf("postgresql", at, Number(atPort), database);
  return {
    uri,
    id: uri.replace("://", ":"),
    isLocal: at.startsWith("/") || at === "localhost" || at === "::1" || at.startsWith("127."),
    database,
    password: password ?? (environment["PGPASSWORD"] || undefined),
    env,
  };
}

/** The address's, and where it says nothing, those of the environment: TLS that is asked for there is never weakened. */
function variables(said: Record<string, string>, environment: NodeJS.ProcessEnv): Record<string, string> {
  const isPlaced = said["PGHOST"] !== undefined || said["PGHOSTADDR"] !== undefined;
  const kept: Record<string, string> = { PGCONNECT_TIMEOUT: CONNECT_TIMEOUT };
  for (const [name, value = ""] of Object.entries(environment)) {
    if (!name.startsWith("PG") || name === "PGPASSWORD" || value === "") continue;
    if (name === "PGDATABASE" || name === "PGSERVICE" || name === "PGCLIENTENCODING") continue;
    if (isPlaced && PLACE.has(name) && name !== "PGUSER") continue;
    kept[name] = value;
  }
  return { ...kept, ...said };
}
