import { ValidationError } from "../../errors.ts";

/** The address of a database on a server, in its parts, each decoded. */
export interface DatabaseUrl {
  readonly scheme: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** Empty where the address names none. An IPv6 address has no brackets. */
  readonly host: string;
  readonly port?: number | undefined;
  /** Empty where the address names none. */
  readonly database: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** No part holds what begins the next one: a password with an `@` or `/` of its own is not taken for a host. */
const ADDRESS =
  /^([a-z][a-z0-9+.-]*):\/\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?(\[[0-9a-fA-F:.]+\]|[^:@/?#[\]]*)(?::(\d{1,5}))?(?:\/([^/?#@]*))?(?:\?([^?#]*))?$/i;

/** Nothing that a file of a line each, an argument or a message could not hold. */
const CONTROL = /\p{Cc}/u;

/**
 * Reads `scheme://user:password@host:port/database?name=value`. What is special in a part must be percent-encoded. No message holds
 * anything of the address: a password that is not encoded may stand anywhere in it.
 *
 * @throws ValidationError for what is no such address. @throws TypeError for what is no string.
 */
export function parseDatabaseUrl(url: string, example: string): DatabaseUrl {
  if (typeof url !== "string") throw new TypeError("The address of a database must be a string.");
  const refuse = (why: string) =>
    new ValidationError(
      `The address of the database cannot be read: ${why}. Write ${example}, with what is special in user, password or database percent-encoded: @ as %40, / as %2F, : as %3A, # as %23, ? as %3F, % as %25.`,
    );
  const match = ADDRESS.exec(url);
  if (!match) throw refuse("it is not well formed");
  const [, scheme = "", user, password, host = "", port, database = "", query = ""] = match;
  const decode = (what: string, text: string): string => {
    let decoded: string;
    try {
      decoded = decodeURIComponent(text);
    } catch {
      throw refuse(`its ${what} has a % that does not begin a UTF-8 code`);
    }
    if (CONTROL.test(decoded)) throw refuse(`its ${what} holds a control character, such as a line's end`);
    return decoded;
  };
  if (host.includes(",")) throw refuse("it names several hosts");
  if (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65_535)) throw refuse("its port is none");
  const parameters = new Map<string, string>();
  for (const part of query === "" ? [] : query.split("&")) {
    const [name = "", ...value] = part.split("=");
    const key = decode("parameter", name);
    if (parameters.has(key)) throw refuse("it has a parameter twice");
    parameters.set(key, decode("parameter", value.join("=")));
  }
  return {
    scheme: scheme.toLowerCase(),
    user: user === undefined || user === "" ? undefined : decode("user", user),
    password: password === undefined ? undefined : decode("password", password),
    host: host.startsWith("[") ? host.slice(1, -1).toLowerCase() : lowerCase(decode("host", host)),
    port: port === undefined ? undefined : Number(port),
    database: decode("database", database),
    parameters,
  };
}

/** A directory, that of a socket, stays as it is. */
function lowerCase(host: string): string {
  return host.startsWith("/") ? host : host.toLowerCase();
}

/** For people: without user, password and parameters. */
export function placeOf(scheme: string, host: string, port: number, database: string): string {
  const shown = host.includes(":") ? `[${host}]` : encodeURIComponent(host);
  return `${scheme}://${shown}:${port}/${encodeURIComponent(database)}`;
}
