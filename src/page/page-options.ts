import { isIP } from "node:net";
import { resolve } from "node:path";
import { assertFlag, assertKnown, assertLogger } from "../checks.ts";
import { ValidationError } from "../errors.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import { parseDuration } from "../policy/duration.ts";
import type { PageSection } from "../policy/page-schema.ts";
import { type Clock, systemClock } from "../util/clock.ts";
import { isTokenHash, type PageToken, ROLES } from "./access-token.ts";

export interface PageOptions {
  /** Who may come in: one at least. `newToken` makes them, or `lancedb-backup page token`. */
  readonly tokens: readonly PageToken[];
  /** Address and port, `127.0.0.1:8420` (the default) or `[::1]:0`; port 0 is any that is free. */
  readonly listen?: string | undefined;
  /** Files in PEM. Needed if it listens on more than loopback. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Listen elsewhere than on loopback without TLS: behind something that does it. Default false. */
  readonly plainHttp?: boolean | undefined;
  /** Names of hosts by which it is called, besides `localhost` and the address itself. Others are refused. */
  readonly hosts?: readonly string[] | undefined;
  /** Directories below which an administrator may restore, each time into a new one. Default: none, and so no restore. */
  readonly restoreTo?: readonly string[] | undefined;
  /** How long who has come in stays in, milliseconds: 400 days at most. Default 12 hours. */
  readonly sessionMs?: number | undefined;
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  readonly logger?: Logger | undefined;
  /** Where it takes the time from; for tests. */
  readonly clock?: Clock | undefined;
}

/** The same, whole. */
export interface PageSettings {
  readonly tokens: readonly PageToken[];
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly hosts: readonly string[];
  readonly restoreTo: readonly string[];
  readonly sessionMs: number;
  readonly logger: Logger;
  readonly clock: Clock;
}

const DEFAULT_LISTEN = "127.0.0.1:8420";
/** As the audit log takes it. */
const NAME = /^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u;
const DEFAULT_SESSION_MS = 12 * 3_600_000;
/** Browsers keep no cookie longer. */
const LONGEST_SESSION_MS = 400 * 86_400_000;

/** @throws ValidationError, TypeError */
export function pageSettings(options: PageOptions): PageSettings {
  assertKnown(options, "servePage", {
    tokens: true,
    listen: true,
    tls: true,
    plainHttp: true,
    hosts: true,
    restoreTo: true,
    sessionMs: true,
    logger: true,
    clock: true,
  });
  const { tokens, listen = DEFAULT_LISTEN, tls, plainHttp = false, hosts = [], restoreTo = [] } = options;
  const { sessionMs = DEFAULT_SESSION_MS, logger = defaultLogger(), clock = systemClock } = options;
  assertTokens(tokens);
  assertFlag(plainHttp, "plainHttp");
  assertTexts(hosts, "hosts");
  assertTexts(restoreTo, "restoreTo");
  assertLogger(logger);
  if (!(sessionMs >= 1000 && sessionMs <= LONGEST_SESSION_MS)) {
    throw new ValidationError("sessionMs must be a number of milliseconds, from 1000 to 400 days.");
  }
  if (tls !== undefined && (typeof tls?.cert !== "string" || typeof tls.key !== "string")) {
    throw new TypeError("tls must be { cert, key }: the paths of two files.");
  }
  const place = parseListen(listen);
  assertPrivate(place.host, { isEncrypted: tls !== undefined, plainHttp });
  return {
    ...place,
    ...{ tokens, tls, sessionMs, logger, clock },
    hosts: hosts.map((host) => host.toLowerCase()),
    restoreTo: restoreTo.map((directory) => resolve(directory)),
  };
}

/** Of what a configuration file says. */
export function pageOptionsOf(section: PageSection): PageOptions {
  const { listen, tls, plain_http: plainHttp, hosts, tokens, restore_to: restoreTo, session } = section;
  const sessionMs = session === undefined ? undefined : parseDuration(session);
  return { listen, tls, plainHttp, hosts, tokens, restoreTo, sessionMs };
}

/** @throws ValidationError */
function parseListen(listen: string): { readonly host: string; readonly port: number } {
  const how = "an address and a port, such as 127.0.0.1:8420 or [::1]:8420";
  const [, six, other, digits = ""] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(listen) ?? [];
  const host = six ?? other ?? "";
  const port = Number(digits);
  const isFit = six === undefined ? isIP(host) === 4 || host === "localhost" : isIP(host) === 6;
  if (!isFit || port > 65_535) {
    throw new ValidationError(`The page listens on ${how}, not ${JSON.stringify(listen)}.`);
  }
  return { host, port };
}

/** What is sent in the clear stays on this machine, unless somebody says otherwise. @throws ValidationError */
function assertPrivate(
  host: string,
  { isEncrypted, plainHttp }: { readonly isEncrypted: boolean; readonly plainHttp: boolean },
): void {
  if (isEncrypted || plainHttp || isLoopback(host)) return;
  throw new ValidationError(
    `On ${host} others could read tokens on the network. Give the page a certificate (tls: cert, key), or allow plain HTTP if a proxy in front of it encrypts.`,
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\./.test(host);
}

function assertTokens(tokens: readonly PageToken[]): void {
  if (!Array.isArray(tokens)) throw new TypeError("tokens must be a list.");
  if (tokens.length === 0) {
    throw new ValidationError('The page needs a token at least: "lancedb-backup page token" makes one.');
  }
  const names = new Set<string>();
  for (const { name, role, hash } of tokens as readonly PageToken[]) {
    if (typeof name !== "string") throw new TypeError("A token's name must be a text.");
    if (!NAME.test(name)) {
      throw new ValidationError("A token's name must be 1 to 200 characters that can be shown.");
    }
    if (names.has(name)) throw new ValidationError(`Two tokens have the name ${JSON.stringify(name)}.`);
    names.add(name);
    if (!ROLES.includes(role)) {
      throw new ValidationError(`The role of ${JSON.stringify(name)} must be one of ${ROLES.join(", ")}.`);
    }
    if (!isTokenHash(hash)) {
      throw new ValidationError(
        `The hash of ${JSON.stringify(name)} is not the hash of a token. Make one with "lancedb-backup page token".`,
      );
    }
  }
}

function assertTexts(value: readonly string[], name: string): void {
  if (!Array.isArray(value) || value.some((each) => typeof each !== "string" || each === "")) {
    throw new TypeError(`${name} must be a list of texts.`);
  }
}
