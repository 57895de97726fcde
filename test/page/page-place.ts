import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { get, type IncomingHttpHeaders, request } from "node:http";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { onTestFinished } from "vitest";
import { BackupService, loadPolicies, type RunReport } from "../../src/index.ts";
import { tokenOf as makeToken } from "../../src/page/access-token.ts";
import { type PageOptions, type PageToken, type Role, servePage } from "../../src/page/index.ts";
import { systemClock } from "../../src/util/clock.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";

export const ROLES = ["reader", "operator", "administrator"] as const;

/** Their hashes are cheap: many are computed. */
export const TOKENS = Promise.all(
  ROLES.map(async (role) => ({ role, name: role, ...(await makeToken({ ln: 10, r: 8, p: 1 })) })),
);

/** As a configuration has them. */
export async function pageTokens(): Promise<PageToken[]> {
  return (await TOKENS).map(({ name, role, hash }) => ({ name, role, hash }));
}

export async function tokenOf(role: Role): Promise<string> {
  return (await TOKENS).find((token) => token.role === role)?.token ?? "";
}

/** A database, a service with two policies, and its page. `gated` runs until its gate is opened. */
export async function newPage(
  options: Partial<PageOptions> & { readonly policies?: string; readonly stateDirectory?: string } = {},
) {
  const { policies = "", stateDirectory, ...pageOptions } = options;
  const directory = await newDirectory();
  const db = await connect(join(directory, "db"));
  await db.createTable("words", [{ id: 1 }, { id: 2 }]);
  const gate = join(directory, "gate");
  execFileSync("mkfifo", [gate]);
  const file = join(directory, "backup.yaml");
  writeFileSync(
    file,
    `backup_manager:
  storage: { type: local, path: vault }
policies:
  one: { sources: [{ type: lancedb, path: db }], schedule: { full: 1d }, retention: { keep_last: 9 } }
  gated: { sources: [{ type: command, name: gated, command: [cat, ${gate}] }] }
${policies}`,
  );
  const { logger, logged } = recordingLogger();
  const state = stateDirectory === undefined ? false : join(directory, stateDirectory);
  const service = new BackupService(await loadPolicies(file), { logger, stateDirectory: state });
  const tokens = await pageTokens();
  const restoreTo = [join(directory, "restored")];
  const page = await servePage(service, {
    ...{ listen: "127.0.0.1:0", tokens, restoreTo, logger, clock: systemClock },
    ...pageOptions,
  });
  onTestFinished(async () => {
    await service.stop();
    await page.close();
  });
  const ran = () => new Promise<RunReport>((resolve) => void service.onRun(resolve));
  const openGate = async () => {
    const handle = await open(gate, "w");
    await handle.write("what the program says");
    await handle.close();
  };
  return { directory, service, page, url: page.url, logged, ran, openGate };
}

export interface Asked {
  readonly method?: "GET" | "HEAD" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly fields?: Readonly<Record<string, string>>;
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request as it is said: no redirect is followed, no header comes by itself. */
export function ask(url: string, { method = "GET", headers = {}, fields }: Asked = {}): Promise<Answered> {
  const body = fields && new URLSearchParams(fields).toString();
  const form = body === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" };
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers: { ...form, ...headers }, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

export interface Visitor {
  readonly cookie: string;
  readonly csrf: string;
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Answered>;
  /** As the page's script does, with what a form has in it. */
  post(
    path: string,
    fields?: Readonly<Record<string, string>>,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answered>;
}

/** Somebody who has come in. */
export async function visit(url: string, role: Role): Promise<Visitor> {
  const entered = await ask(`${url}/login`, { method: "POST", fields: { token: await tokenOf(role) } });
  if (entered.status !== 303) throw new Error(`${entered.status}: ${entered.body}`);
  const cookie = entered.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
  const get: Visitor["get"] = (path, headers = {}) =>
    ask(`${url}${path}`, { headers: { cookie, accept: "text/html", ...headers } });
  const csrf = /name="csrf" value="([^"]+)"/.exec((await get("/")).body)?.[1] ?? "";
  const post: Visitor["post"] = (path, fields = {}, headers = {}) =>
    ask(`${url}${path}`, {
      method: "POST",
      fields: { csrf, ...fields },
      headers: { cookie, accept: "application/json", ...headers },
    });
  return { cookie, csrf, get, post };
}

/** Listens to server-sent events. */
export function listen(url: string, cookie: string) {
  let text = "";
  const opened = Promise.withResolvers<void>();
  const waiting = new Set<() => void>();
  const body = new Promise<string>((resolve, reject) => {
    get(url, { headers: { cookie }, agent: false }, (response) => {
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        opened.resolve();
        for (const look of waiting) look();
      });
      response.on("end", () => resolve(text));
      response.on("error", () => resolve(text));
    }).on("error", reject);
  });
  body.catch(() => undefined);
  const saw = (what: string) =>
    new Promise<void>((resolve) => {
      const look = () => text.includes(what) && resolve();
      waiting.add(look);
      look();
    });
  return { body, open: opened.promise, saw };
}
