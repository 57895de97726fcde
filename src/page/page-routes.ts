import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { HttpBindings } from "@hono/node-server";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { BackupNotFoundError, LockedError, ValidationError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import type { Markup } from "../html/markup.ts";
import { mayAs, type Role } from "./access-token.ts";
import type { LiveEvents } from "./live-events.ts";
import { overviewPage } from "./overview-page.ts";
import type { Asset } from "./page-assets.ts";
import { problemPage, signInPage } from "./page-frame.ts";
import type { PageSettings } from "./page-options.ts";
import { policyPath, snapshotPath } from "./page-parts.ts";
import type { Peers } from "./page-peers.ts";
import type { PageSource } from "./page-state.ts";
import { policyPage, prunePage } from "./policy-page.ts";
import { isSame, type Session, type SignIn } from "./sign-in.ts";
import { snapshotPage } from "./snapshot-page.ts";

interface Env {
  Bindings: HttpBindings;
  Variables: { session: Session };
}

interface Site {
  readonly peers: Peers;
  readonly settings: PageSettings;
  readonly source: PageSource;
  readonly signIn: SignIn;
  readonly events: LiveEvents;
  readonly assets: ReadonlyMap<string, Asset>;
  /** The port that it came to listen on. */
  readonly port: () => number;
  /** Whether nothing more is to begin on it. */
  readonly isGivingWay: () => boolean;
}

const MOST_BODY_BYTES = 16_384;
const NEW_DIRECTORY = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Cache-Control": "no-store",
};

/** What is answered to whom. Every route but those of signing in names the role that it needs. */
export function pageRoutes(site: Site): Hono<Env> {
  const { peers, settings, source, signIn, events, assets } = site;
  const app = new peers.Hono<Env>();
  const { logger } = settings;

  app.use(async (c, next) => {
    await next();
    for (const [name, value] of Object.entries(HEADERS)) {
      if (!c.res.headers.has(name)) c.res.headers.set(name, value);
    }
    if (settings.tls) c.res.headers.set("Strict-Transport-Security", "max-age=31536000");
  });
  app.use(async (c, next) => {
    if (isOurHost(c, settings)) return next();
    return c.text("This host name is not allowed: list it under hosts in the configuration.\n", 421);
  });
  app.use(peers.bodyLimit({ maxSize: MOST_BODY_BYTES, onError: (c) => c.text("Too much.\n", 413) }));
  app.use(async (c, next) => {
    if (c.req.method === "GET" || c.req.method === "HEAD" || isSameOrigin(c, settings)) return next();
    return c.text("This request did not come from the page itself.\n", 403);
  });

  app.get("/assets/:file", (c) => {
    const asset = assets.get(c.req.path);
    if (!asset) return c.notFound();
    const headers = { "Content-Type": asset.type, "Cache-Control": "no-cache", ETag: asset.tag };
    if (c.req.header("if-none-match") === asset.tag) return c.body(null, 304, headers);
    return c.body(asset.body, 200, headers);
  });

  const cookieName = () => `lancedb-backup-${site.port()}`;
  const cookieOptions = {
    httpOnly: true,
    sameSite: "Strict",
    path: "/",
    secure: settings.tls !== undefined,
    maxAge: Math.floor(settings.sessionMs / 1000),
  } as const;

  app.get("/login", (c) => show(c, signInPage()));
  app.post("/login", async (c) => {
    const { token } = await fieldsOf(c);
    const address = c.env.incoming.socket.remoteAddress ?? "";
    const attempt = await signIn.enter((token ?? "").trim(), address);
    if (attempt.outcome === "in") {
      logger.info("signed in on the page", { name: attempt.session.name, address });
      peers.setCookie(c, cookieName(), attempt.cookie, cookieOptions);
      return c.redirect("/", 303);
    }
    logger.warn("a wrong token on the page", { address, outcome: attempt.outcome });
    if (attempt.outcome === "wrong") return show(c, signInPage("This token is not valid."), 401);
    c.header("Retry-After", String(attempt.seconds));
    return show(c, signInPage(`Too many wrong tokens. Wait ${attempt.seconds} s.`), 429);
  });

  app.use(async (c, next) => {
    const session = signIn.session(peers.getCookie(c, cookieName()));
    if (session) {
      c.set("session", session);
      return next();
    }
    if (c.req.method === "GET" && c.req.header("accept")?.includes("text/html"))
      return c.redirect("/login", 303);
    return c.text("Sign in first.\n", 401);
  });
  app.post("*", async (c, next) => {
    const { csrf = "" } = await fieldsOf(c);
    if (isSame(csrf, c.get("session").csrf)) return next();
    return c.text("This form belongs to another session: load the page again.\n", 403);
  });

  app.post("/logout", (c) => {
    signIn.leave(peers.getCookie(c, cookieName()));
    peers.deleteCookie(c, cookieName(), cookieOptions);
    return c.redirect("/login", 303);
  });

  app.post("*", (_c, next) => {
    if (!site.isGivingWay()) return next();
    throw new LockedError("The policies are being read again. Wait until running work has ended.");
  });

  app.get("/", needs("reader"), async (c) => {
    const page = Number(c.req.query("page") ?? 1);
    const data = await source.overview({ search: c.req.query("q") ?? "", page });
    return show(c, overviewPage(data, c.get("session"), takeSaid(c)));
  });
  app.get("/events", needs("reader"), (c) => {
    // A stream that nobody reads would be followed for ever.
    if (c.req.method === "HEAD") return c.body(null, 200, { "Content-Type": "text/event-stream" });
    if (events.isFull(c.get("session"))) return c.text("Too many visitors.\n", 503);
    const cookie = peers.getCookie(c, cookieName());
    const session = c.get("session");
    const isIn = () => signIn.session(cookie) !== undefined;
    return peers.streamSSE(c, async (stream) => {
      const why = await events.follow(stream, session, { policy: c.req.query("policy"), isIn });
      // What was not taken would be waited for.
      if (why === "gone") c.env.outgoing.destroy();
    });
  });
  app.get("/policies/:policy", needs("reader"), async (c) => {
    const data = await source.policy(c.req.param("policy"));
    return data ? show(c, policyPage(data, c.get("session"), takeSaid(c))) : missing(c);
  });
  app.get("/policies/:policy/snapshots/:id", needs("reader"), async (c) => {
    const data = await source.snapshot(c.req.param("policy"), c.req.param("id"));
    if (!data) return missing(c);
    const session = c.get("session");
    return show(c, snapshotPage(data, { session, roots: settings.restoreTo, said: takeSaid(c) }));
  });
  app.get("/policies/:policy/prune", needs("administrator"), async (c) => {
    const policy = c.req.param("policy");
    return show(c, prunePage(policy, await source.prunePlan(policy), c.get("session")));
  });

  app.post("/policies/:policy/run", needs("operator"), async (c) => {
    const policy = c.req.param("policy");
    const { type = "incremental" } = await fieldsOf(c);
    if (type !== "full" && type !== "incremental")
      throw new ValidationError("The type is full or incremental.");
    return answer(c, policyPath(policy), source.run(policy, type, c.get("session").name));
  });
  app.post("/policies/:policy/verify", needs("operator"), (c) => {
    const policy = c.req.param("policy");
    return answer(c, policyPath(policy), source.verify(policy, c.get("session").name));
  });
  app.post("/policies/:policy/prune", needs("administrator"), (c) => {
    const policy = c.req.param("policy");
    return answer(c, policyPath(policy), source.prune(policy, c.get("session").name));
  });
  app.post("/policies/:policy/snapshots/:id/verify", needs("operator"), async (c) => {
    const { policy, id } = c.req.param();
    return answer(
      c,
      snapshotPath(policy, id),
      await source.verifySnapshot(policy, id, c.get("session").name),
    );
  });
  app.post("/policies/:policy/snapshots/:id/restore", needs("administrator"), async (c) => {
    const { policy, id } = c.req.param();
    const { root = "", name = "" } = await fieldsOf(c);
    if (!settings.restoreTo.includes(root)) {
      throw new ValidationError("The configuration does not allow a restore there.");
    }
    if (!NEW_DIRECTORY.test(name)) {
      throw new ValidationError("The new directory's name must be letters, digits and . _ - alone.");
    }
    const said = await source.restore(policy, id, join(root, name), c.get("session").name);
    return answer(c, snapshotPath(policy, id), said);
  });

  app.notFound((c) => missing(c));
  app.onError((error, c) => {
    const status = statusOf(error);
    const number = randomUUID().slice(0, 8);
    // What nobody foresaw may say too much.
    const why = status === 500 ? `The log says more, under ${number}.` : reasonOf(error);
    if (status === 500)
      logger.error("the page failed", { path: c.req.path, number, reason: reasonOf(error) });
    return problem(c, status, status === 500 ? "Something went wrong" : "This cannot be done", why);
  });
  return app;
}

type Status = 400 | 401 | 403 | 404 | 409 | 429 | 500;

function show(c: Context<Env>, page: Markup, status: Status | 200 = 200) {
  return c.html(page.toString(), status);
}

/** Lets those in who may. */
function needs(role: Role): MiddlewareHandler<Env> {
  return async (c, next) => {
    const { role: own } = c.get("session");
    if (mayAs(own, role)) return next();
    return problem(c, 403, "Not allowed", `This needs the role ${role}; yours is ${own}.`);
  };
}

/** Something was begun: who has no script sees the page again, with what is said. */
function answer(c: Context<Env>, back: string, said: string) {
  if (wantsJson(c)) return c.json({ said }, 202);
  c.get("session").said = said;
  return c.redirect(back, 303);
}

function problem(c: Context<Env>, status: Status, title: string, why: string) {
  if (wantsJson(c)) return c.json({ problem: why }, status);
  return show(c, problemPage(title, why, c.get("session")), status);
}

function missing(c: Context<Env>) {
  return problem(c, 404, "Not there", "There is no such page, policy or snapshot.");
}

function statusOf(error: unknown): Status {
  if (error instanceof ValidationError) return 400;
  if (error instanceof BackupNotFoundError) return 404;
  return error instanceof LockedError ? 409 : 500;
}

function wantsJson(c: Context<Env>): boolean {
  return c.req.header("accept")?.includes("application/json") === true;
}

/** Said once. */
function takeSaid(c: Context<Env>): string | undefined {
  const session = c.get("session");
  const { said } = session;
  session.said = undefined;
  return said;
}

async function fieldsOf(c: Context<Env>): Promise<Record<string, string | undefined>> {
  const body = await c.req.parseBody();
  return Object.fromEntries(Object.entries(body).filter(([, value]) => typeof value === "string")) as Record<
    string,
    string
  >;
}

/**
 * Whether it was called by a name of its own: a page of somebody else's, whose name has come to mean this machine, must not
 * read it.
 */
function isOurHost(c: Context<Env>, { host, hosts }: PageSettings): boolean {
  const called = (c.req.header("host") ?? "").toLowerCase().replace(/:\d+$/, "");
  const name = called.replace(/^\[|\]$/g, "");
  const own = (c.env.incoming.socket.localAddress ?? "").replace(/^::ffff:/, "");
  return name !== "" && (name === host || name === own || hosts.includes(name) || isLocalName(name, own));
}

function isLocalName(name: string, own: string): boolean {
  return name === "localhost" && (own === "::1" || own.startsWith("127."));
}

/** What a browser says of where a request comes from; what is no browser's has no cookie by accident. */
function isSameOrigin(c: Context<Env>, { hosts }: PageSettings): boolean {
  const site = c.req.header("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none") return false;
  const origin = c.req.header("origin");
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  // Behind a proxy that asks by another name, the browser's is in `hosts`.
  const { host, hostname } = new URL(origin);
  return host === (c.req.header("host") ?? "").toLowerCase() || hosts.includes(hostname);
}
