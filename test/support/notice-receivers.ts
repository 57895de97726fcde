import { once } from "node:events";
import { renameSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { onTestFinished } from "vitest";
import { BackupService, loadPolicies } from "../../src/index.ts";
import { newDirectory, recordingLogger } from "./database.ts";
import { TestClock } from "./test-clock.ts";

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A real server that keeps what it gets. @param answer its status, by the path and how many came there; undefined: it never answers. */
export async function newReceiver(answer: (path: string, count: number) => number | undefined = () => 200) {
  const received: Received[] = [];
  let more = Promise.withResolvers<void>();
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const path = request.url ?? "";
    received.push({ path, headers: request.headers, body });
    const status = answer(path, received.filter((one) => one.path === path).length);
    if (status !== undefined) response.writeHead(status, { location: "/elsewhere" }).end();
    more.resolve();
    more = Promise.withResolvers();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  /** Waits until so many have come. */
  const until = async (count: number) => {
    while (received.length < count) await more.promise;
    return received;
  };
  return { received, until, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

export interface ReceivedMail {
  readonly text: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly isSecure: boolean;
  readonly user?: string | undefined;
}

/** A real mail server that keeps what it gets. */
export async function newMailServer(options: SMTPServerOptions = {}) {
  const mails: ReceivedMail[] = [];
  const logins: string[] = [];
  const server = new SMTPServer({
    authOptional: true,
    logger: false,
    onAuth({ username = "", password = "" }, _session, callback) {
      logins.push(username);
      if (password === "s3cret pass") callback(null, { user: username });
      // As a server that sends back what it was sent.
      else callback(new Error(`no ${password} ${Buffer.from(`\0me\0${password}`).toString("base64")}`));
    },
    onData(stream, session, callback) {
      const pieces: Buffer[] = [];
      stream.on("data", (piece: Buffer) => pieces.push(piece));
      stream.on("end", () => {
        const { mailFrom, rcptTo } = session.envelope;
        mails.push({
          text: Buffer.concat(pieces).toString("utf8"),
          from: mailFrom === false ? "" : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          isSecure: session.secure,
          user: session.user,
        });
        callback();
      });
    },
    ...options,
  });
  server.on("error", () => undefined); // a client that breaks off is what some tests do
  server.listen(0, "127.0.0.1");
  await once(server.server, "listening");
  onTestFinished(() => new Promise((resolve) => void server.close(() => resolve())));
  return { mails, logins, port: (server.server.address() as AddressInfo).port };
}

/** A server that takes connections and never says a word. */
export async function newSilentServer(): Promise<number> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/**
 * A service of a policy `one` over a database of 200 rows, with these notifications. Each `again` is a new service, as after a
 * restart: with the same repository, and the same state.
 *
 * @param schedule what its schedule says
 */
export async function newToldService(
  notifications: string,
  { schedule = "full: 1d, retry_window: 1s", env = {}, at, rest = "", source }: NewService = {},
) {
  const directory = await newDirectory();
  const database = join(directory, "db");
  const what = source?.(directory) ?? `{ type: lancedb, path: ${database} }`;
  const rows = Array.from({ length: 200 }, (_, id) => ({ id }));
  const table = await (await connect(database)).createTable("t", rows);
  const file = join(directory, "backup.yaml");
  writeFileSync(
    file,
    `backup_manager:
  storage: { type: local, path: vault }
  notifications: ${notifications}
policies:
  one: { sources: [${what}], schedule: { ${schedule} }${rest} }
`,
  );
  const { logger, logged } = recordingLogger();
  const set = await loadPolicies(file, env);
  const clock = new TestClock(at ?? new Date());
  const stateDirectory = join(directory, "state");
  const again = () => {
    const service = new BackupService(set, { logger, clock, stateDirectory });
    onTestFinished(() => service.stop());
    return service;
  };
  const away = () => renameSync(database, `${database}-away`);
  const back = () => renameSync(`${database}-away`, database);
  return { service: again(), again, clock, directory, file, set, table, away, back, logged, stateDirectory };
}

interface NewService {
  readonly schedule?: string;
  readonly env?: Record<string, string>;
  readonly at?: string | Date;
  /** Default: the database. */
  readonly source?: (directory: string) => string;
  /** What else the policy says. */
  readonly rest?: string;
}
