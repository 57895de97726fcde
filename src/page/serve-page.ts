import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { IoError, ValidationError } from "../errors.ts";
import { isError, reasonOf } from "../fs/io.ts";
import type { BackupService } from "../policy/backup-service.ts";
import type { PageToken } from "./access-token.ts";
import { LiveEvents } from "./live-events.ts";
import { pageAssets } from "./page-assets.ts";
import { type PageOptions, type PageSettings, pageSettings } from "./page-options.ts";
import { loadPeers } from "./page-peers.ts";
import { pageRoutes } from "./page-routes.ts";
import type { PageSource } from "./page-state.ts";
import { ServiceSource } from "./service-source.ts";
import { SignIn } from "./sign-in.ts";

/** A page that is being served. */
export interface ServedPage extends AsyncDisposable {
  /** `http://127.0.0.1:8420` */
  readonly url: string;
  /** Ends it, and what was begun on it besides the service's own runs: restores leave nothing behind. */
  close(): Promise<void>;
}

/** One that may give way to another. */
export interface ReplaceablePage extends ServedPage {
  /** From now on it lets in those with these tokens alone, everyone anew, and nothing more is begun on it. */
  giveWay(tokens: readonly PageToken[]): void;
}

/** Of slow clients. */
const REQUEST_MS = 30_000;
const MOST_CONNECTIONS = 500;

/**
 * Serves a page of a service: how its policies stand, what is under way, their snapshots, and buttons for who may press them.
 * Nothing on it asks another machine for anything.
 *
 * @throws ValidationError for options that cannot be: no token, elsewhere than on loopback without TLS, a certificate that is
 * none. @throws UnsupportedError where hono or its server is not installed. @throws IoError where the address is taken.
 * @example
 * ```ts
 * const { token, hash } = await newToken();
 * await using page = await servePage(service, { tokens: [{ name: "me", role: "operator", hash }] });
 * console.log(page.url, token);
 * ```
 */
export async function servePage(service: BackupService, options: PageOptions): Promise<ServedPage> {
  return serveReplaceable(service, options);
}

/** The same, for a service that is to be replaced while it runs. */
export async function serveReplaceable(
  service: BackupService,
  options: PageOptions,
): Promise<ReplaceablePage> {
  const settings = pageSettings(options);
  assertService(service);
  const { logger, clock } = settings;
  return serveSource(settings, () => new ServiceSource(service, logger, clock));
}

/** The same of whatever source. @param makeSource is called when nothing can go wrong any more. */
export async function serveSource(
  settings: PageSettings,
  makeSource: () => PageSource,
): Promise<ReplaceablePage> {
  const [peers, tls] = await Promise.all([loadPeers(), readTls(settings)]);
  const { clock, host, port: wanted } = settings;
  let port = wanted;
  const source = makeSource();
  const signIn = new SignIn(settings.tokens, settings.sessionMs, clock);
  const events = new LiveEvents(source, () => clock.now());
  let hasGivenWay = false;
  const giveWay = (tokens: readonly PageToken[]) => {
    hasGivenWay = true;
    signIn.replace(tokens);
    events.close("over");
  };
  const app = pageRoutes({
    ...{ peers, settings, source, signIn, events, assets: pageAssets(), port: () => port },
    isGivingWay: () => hasGivenWay,
  });
  const server = peers.createAdaptorServer({
    fetch: app.fetch,
    overrideGlobalObjects: false,
    ...(tls ? { createServer: createTlsServer, serverOptions: tls } : { createServer }),
  }) as ReturnType<typeof createServer>;
  server.requestTimeout = REQUEST_MS;
  server.maxConnections = MOST_CONNECTIONS;
  try {
    port = await listen(server, host, wanted);
  } catch (error) {
    await source.close();
    throw error;
  }
  const close = async () => {
    events.close();
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await Promise.all([closed, source.close()]);
  };
  const url = `${tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  return { url, close, giveWay, [Symbol.asyncDispose]: close };
}

function listen(server: ReturnType<typeof createServer>, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new IoError(`The page cannot listen on ${host}:${port}: ${reasonOf(error)}`, { cause: error }));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

async function readTls({ tls }: PageSettings): Promise<{ cert: Buffer; key: Buffer } | undefined> {
  if (!tls) return undefined;
  const [cert, key] = await Promise.all([readPem(tls.cert), readPem(tls.key)]);
  const { createSecureContext } = await import("node:tls");
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    const why = isError(error) ? error.message : reasonOf(error);
    throw new ValidationError(`${tls.cert} and ${tls.key} are not a certificate and its key: ${why}.`, {
      cause: error,
    });
  }
  return { cert, key };
}

async function readPem(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new IoError(`The page's ${file} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

function assertService(service: BackupService): void {
  if (typeof service?.status !== "function" || typeof service.onWork !== "function") {
    throw new TypeError("service must be a BackupService.");
  }
}
