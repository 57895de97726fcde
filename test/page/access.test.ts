import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { get as getOverTls } from "node:https";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { IoError, type SnapshotDetails, ValidationError } from "../../src/index.ts";
import { isTokenHash, newToken, ownerOf } from "../../src/page/access-token.ts";
import { type Role, servePage } from "../../src/page/index.ts";
import { nameOfSource, placesOf, restorableParts } from "../../src/page/restore-places.ts";
import { serveReplaceable } from "../../src/page/serve-page.ts";
import { SignIn } from "../../src/page/sign-in.ts";
import { newDirectory } from "../support/database.ts";
import { TestClock } from "../support/test-clock.ts";
import { ask, newPage, ROLES, TOKENS, tokenOf, visit } from "./page-place.ts";

test("each route is for the roles that it is for, and for nobody without a session", async () => {
  const { url, service, ran, directory } = await newPage();
  mkdirSync(join(directory, "restored"));
  const id = (await service.run("one")).snapshot?.id ?? "";
  const snapshot = `/policies/one/snapshots/${id}`;
  const routes: readonly (readonly [method: "GET" | "POST", path: string, needs: Role])[] = [
    ["GET", "/", "reader"],
    ["GET", "/policies/one", "reader"],
    ["GET", snapshot, "reader"],
    ["GET", "/policies/one/prune", "administrator"],
    ["POST", "/policies/one/run", "operator"],
    ["POST", "/policies/one/verify", "operator"],
    ["POST", "/policies/one/prune", "administrator"],
    ["POST", `${snapshot}/verify`, "operator"],
    ["POST", `${snapshot}/restore`, "administrator"],
  ];
  for (const role of ROLES) {
    const visitor = await visit(url, role);
    for (const [method, path, needs] of routes) {
      const isAllowed = ROLES.indexOf(role) >= ROLES.indexOf(needs);
      const isRun = method === "POST" && !path.startsWith(snapshot);
      const ended = isAllowed && isRun ? ran() : undefined;
      const fields = { root: join(directory, "restored"), name: `by-${role}` };
      const { status } = method === "GET" ? await visitor.get(path) : await visitor.post(path, fields);
      expect({ role, method, path, status }).toEqual({
        ...{ role, method, path },
        status: isAllowed ? (method === "GET" ? 200 : 202) : 403,
      });
      expect((await ended)?.outcome ?? "success").toBe("success");
    }
  }
  for (const [method, path] of [
    ...routes,
    ["GET", "/events"],
    ["POST", "/logout"],
    ["GET", "/no/such"],
  ] as const) {
    const { status, body } = await ask(`${url}${path}`, { method });
    expect({ path, status, body }).toEqual({ path, status: 401, body: "Sign in first.\n" });
  }
  const browser = await ask(`${url}/policies/one`, { headers: { accept: "text/html" } });
  expect([browser.status, browser.headers.location]).toEqual([303, "/login"]);
});

test("what a form asks for must come from the page itself, and from this session", async () => {
  const { url, service } = await newPage();
  await service.run("one");
  const visitor = await visit(url, "administrator");
  const other = await visit(url, "administrator");
  const wrong: readonly (readonly [string, Record<string, string>, Record<string, string>])[] = [
    ["no token of the form", { csrf: "" }, {}],
    ["that of another session", { csrf: other.csrf }, {}],
    ["another page", {}, { origin: "https://evil.example" }],
    ["a page of nowhere", {}, { origin: "null" }],
    ["another site", {}, { "sec-fetch-site": "cross-site" }],
    ["a neighbour of the site", {}, { "sec-fetch-site": "same-site" }],
  ];
  for (const [what, fields, headers] of wrong) {
    for (const path of ["/policies/one/run", "/policies/one/prune", "/logout"]) {
      const { status } = await visitor.post(path, fields, headers);
      expect({ what, path, status }).toEqual({ what, path, status: 403 });
    }
  }
  const evil = { origin: "https://evil.example" };
  const fields = { token: await tokenOf("reader") };
  expect((await ask(`${url}/login`, { method: "POST", fields, headers: evil })).status).toBe(403);
  expect(service.work).toEqual([]);
  expect(await (await service.repository("one")).list()).toHaveLength(1);

  const own = await visitor.post(
    "/policies/one/verify",
    {},
    { origin: url, "sec-fetch-site": "same-origin" },
  );
  expect([own.status, JSON.parse(own.body)]).toEqual([202, { said: "A verification of one begins." }]);
  expect((await visitor.post("/logout")).headers.location).toBe("/login");
  expect((await visitor.get("/events")).status).toBe(303);
  expect((await other.get("/")).status).toBe(200);
});

test("the cookie is out of reach of scripts and other sites; every answer has its headers", async () => {
  const { url } = await newPage();
  const entered = await ask(`${url}/login`, { method: "POST", fields: { token: await tokenOf("reader") } });
  const port = new URL(url).port;
  expect(entered.headers["set-cookie"]).toEqual([
    expect.stringMatching(
      new RegExp(`^lancedb-backup-${port}=[\\w-]{43}; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict$`),
    ),
  ]);
  for (const path of ["/login", "/", "/assets/page.js", "/assets/none.js"]) {
    const { headers } = await ask(`${url}${path}`);
    const policy = headers["content-security-policy"];
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(headers).toMatchObject({
      ...{ "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "same-origin" },
      "cross-origin-resource-policy": "same-origin",
    });
    expect(headers["cache-control"]).toBe(path === "/assets/page.js" ? "no-cache" : "no-store");
  }
});

test("behind a proxy that asks by another name a form comes from the page where the browser's name is in hosts", async () => {
  const { url } = await newPage({ hosts: ["inner", "backup.example"] });
  const fields = { token: await tokenOf("reader") };
  const statusFrom = async (origin: string) =>
    (await ask(`${url}/login`, { method: "POST", fields, headers: { host: "inner:80", origin } })).status;
  expect(await statusFrom("https://backup.example")).toBe(303);
  expect(await statusFrom("https://evil.example")).toBe(403);
});

test("a session is as long as browsers keep a cookie: the longest works, a longer one is refused", async () => {
  const day = 86_400_000;
  const { url, service } = await newPage({ sessionMs: 400 * day });
  expect((await visit(url, "reader")).cookie).toMatch(/=/);
  const tokens = (await TOKENS).map(({ name, role, hash }) => ({ name, role, hash }));
  for (const sessionMs of [400 * day + 1, Number.NaN, 0])
    await expect(servePage(service, { tokens, sessionMs })).rejects.toThrow("400 days");
});

test("who asks for the heads of live events, or for many of them, does not take the places of others", async () => {
  const { url } = await newPage();
  const [reader, other] = [await visit(url, "reader"), await visit(url, "reader")];
  const headers = { cookie: reader.cookie };
  for (let asked = 0; asked < 25; asked++)
    expect((await ask(`${url}/events`, { method: "HEAD", headers })).status).toBe(200);
  for (let listeners = 0; listeners < 20; listeners++) await listen(`${url}/events`, reader.cookie).open;
  expect((await reader.get("/events")).status).toBe(503);
  await listen(`${url}/events`, other.cookie).open;
});

test("it answers to its own names alone", async () => {
  const { url } = await newPage({ hosts: ["Backup.Example"] });
  const { port } = new URL(url);
  const statusBy = async (host: string) => (await ask(`${url}/login`, { headers: { host } })).status;
  for (const host of [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    "localhost",
    "backup.example",
    "BACKUP.example:443",
  ])
    expect([host, await statusBy(host)]).toEqual([host, 200]);
  for (const host of [`evil.example:${port}`, "127.0.0.2", "backup.example.evil.example", "[::1]"])
    expect([host, await statusBy(host)]).toEqual([host, 421]);
});

test("wrong tokens from an address make it wait longer and longer; others come in", async () => {
  const clock = new TestClock();
  const tokens = await TOKENS;
  const signIn = new SignIn(tokens, 60_000, clock);
  const right = await tokenOf("reader");
  const waits: (number | string)[] = [];
  const wrongs = [
    right.slice(0, -1),
    `${right}x`,
    "",
    right.replace(/.$/, (last) => (last === "A" ? "B" : "A")),
    "lbp_",
  ];
  for (const wrong of wrongs) waits.push((await signIn.enter(wrong, "10.0.0.1")).outcome);
  expect(waits).toEqual(["wrong", "wrong", "wrong", "wrong", "wrong"]);
  expect(await signIn.enter(right, "10.0.0.1")).toEqual({ outcome: "wait", seconds: 1 });
  expect((await signIn.enter(right, "::ffff:10.0.0.1")).outcome).toBe("wait");
  expect((await signIn.enter(right, "10.0.0.2")).outcome).toBe("in");
  await clock.pass(1000, 0);
  expect((await signIn.enter("lbp_", "10.0.0.1")).outcome).toBe("wrong");
  expect(await signIn.enter(right, "10.0.0.1")).toEqual({ outcome: "wait", seconds: 2 });
  await clock.pass(2000, 0);
  expect((await signIn.enter(right, "10.0.0.1")).outcome).toBe("in");
  expect((await signIn.enter("lbp_", "10.0.0.1")).outcome).toBe("wrong");

  // Whoever has an address of IPv6 has many.
  for (const end of [1, 2, 3, 4, 5]) await signIn.enter("lbp_", `2001:db8::${end}`);
  expect((await signIn.enter(right, "2001:db8:0:0:9::9")).outcome).toBe("wait");
  expect((await signIn.enter(right, "2001:db8:0:1::1")).outcome).toBe("in");

  // Many at once are many attempts.
  const together = await Promise.all(Array.from({ length: 20 }, () => signIn.enter("lbp_", "10.0.0.9")));
  expect(together.filter(({ outcome }) => outcome === "wrong").length).toBeLessThanOrEqual(5);
});

test("by HTTP too: 401, then 429 with the seconds to wait, also with the right token", async () => {
  const { url, logged } = await newPage({ clock: new TestClock(new Date()) });
  const enter = (token: string) => ask(`${url}/login`, { method: "POST", fields: { token } });
  for (let attempt = 0; attempt < 5; attempt++) expect((await enter("guessed")).status).toBe(401);
  const { status, headers } = await enter(await tokenOf("administrator"));
  expect([status, headers["retry-after"]]).toEqual([429, "1"]);
  expect(JSON.stringify(logged)).not.toContain("guessed");
});

test("a session ends: what is asked then is refused, and who is told live is told so", async () => {
  const clock = new TestClock(new Date());
  const { url, service } = await newPage({ sessionMs: 60_000, clock });
  const visitor = await visit(url, "operator");
  const { body, open } = listen(`${url}/events`, visitor.cookie);
  await open;
  await clock.pass(59_000, 0);
  expect((await visitor.get("/")).status).toBe(200);
  await clock.pass(1000, 0);
  expect((await visitor.get("/")).headers.location).toBe("/login");
  expect((await visitor.post("/policies/one/run")).status).toBe(401);
  await service.run("one"); // something to tell
  expect(await body).toMatch(/event: over\ndata: \n\n$/);
  expect(await body).not.toContain("event: changed");
});

test("a token is 256 random bits, and its hash does not tell it", async () => {
  const [made, other] = await Promise.all([newToken(), newToken()]);
  expect(made.token).toMatch(/^lbp_[\w-]{22}_[\w-]{43}$/);
  expect(made.token).not.toBe(other.token);
  expect(made.hash).toMatch(/^\$scrypt\$ln=15,r=8,p=1\$/);
  expect(made.hash).not.toContain(made.token.slice(-43));
  const owners = [{ name: "a", role: "reader", hash: made.hash }] as const;
  expect((await ownerOf(made.token, owners))?.name).toBe("a");
  expect(await ownerOf(other.token, owners)).toBeUndefined();
  const mixed = made.token.slice(0, 27) + other.token.slice(27);
  expect(await ownerOf(mixed, owners)).toBeUndefined();
  for (const hash of ["", "$2b$10$x", made.hash.slice(0, -1), made.hash.replace("ln=15", "ln=30")])
    expect([hash, isTokenHash(hash)]).toEqual([hash, false]);
});

test("elsewhere than on loopback it needs TLS, or somebody who says that it does not", async () => {
  const { service } = await newPage();
  const tokens = (await TOKENS).map(({ name, role, hash }) => ({ name, role, hash }));
  for (const listen of ["0.0.0.0:0", "[::]:0", "192.168.1.1:80"])
    await expect(servePage(service, { tokens, listen })).rejects.toThrow(/TLS|certificate/);
  for (const listen of ["example.com:80", "8420", "127.0.0.1", "127.0.0.1:70000", "::1:80", ""])
    await expect(servePage(service, { tokens, listen })).rejects.toThrow(ValidationError);
  await expect(servePage(service, { tokens: [] })).rejects.toThrow("lancedb-backup page token");
  const [first = tokens[0] as never] = tokens;
  await expect(servePage(service, { tokens: [first, first] })).rejects.toThrow("Two tokens");
  await expect(servePage(service, { tokens: [{ ...first, hash: "secret" }] })).rejects.toThrow("hash");
  await expect(servePage(service, { tokens: [{ ...first, role: "root" as Role }] })).rejects.toThrow("role");
  await expect(servePage(service, { tokens, port: 1 } as never)).rejects.toThrow("no option");
  await expect(servePage({} as never, { tokens })).rejects.toThrow(TypeError);

  const open = await servePage(service, { tokens, listen: "0.0.0.0:0", plainHttp: true });
  const { port } = new URL(open.url);
  expect((await ask(`http://127.0.0.1:${port}/login`)).status).toBe(200);
  await expect(servePage(service, { tokens, listen: `127.0.0.1:${port}` })).rejects.toThrow(IoError);
  await open.close();

  const directory = await newDirectory();
  const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  const subject = ["-subj", "/CN=localhost", "-days", "1"];
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-keyout",
      key,
      "-out",
      cert,
      ...subject,
    ],
    { stdio: "ignore" },
  );
  await expect(servePage(service, { tokens, tls: { cert: key, key: cert } })).rejects.toThrow(
    ValidationError,
  );
  await expect(servePage(service, { tokens, tls: { cert: `${cert}x`, key } })).rejects.toThrow(IoError);
  await using secure = await servePage(service, { tokens, listen: "127.0.0.1:0", tls: { cert, key } });
  expect(secure.url).toMatch(/^https:/);
  const answered = await new Promise<{ status?: number; hsts?: string }>((resolve, reject) => {
    getOverTls(`${secure.url}/login`, { rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      const hsts = String(response.headers["strict-transport-security"]);
      resolve({ ...(response.statusCode && { status: response.statusCode }), hsts });
    }).on("error", reject);
  });
  expect(answered).toEqual({ status: 200, hsts: "max-age=31536000" });
});

test("a restore goes into a new directory below those that the file names, whole", async () => {
  const { url, service, directory, page } = await newPage();
  const { snapshot } = await service.run("one");
  const root = join(directory, "restored");
  mkdirSync(join(root, "taken"), { recursive: true });
  const visitor = await visit(url, "administrator");
  const path = `/policies/one/snapshots/${snapshot?.id}`;
  const restore = (fields: Record<string, string>) => visitor.post(`${path}/restore`, fields);
  for (const fields of [
    { root, name: "../escaped" },
    { root, name: "a/b" },
    { root, name: ".hidden" },
    { root, name: "" },
    { root: directory, name: "elsewhere" },
    { root: `${root}/..`, name: "elsewhere" },
    { name: "nowhere" },
    { root, name: "taken" },
  ] as Record<string, string>[]) {
    const { status, body } = await restore(fields);
    expect({ fields, status }).toEqual({ fields, status: 400 });
    expect(JSON.parse(body).problem).toMatch(/\w/);
  }
  expect(existsSync(join(directory, "escaped")) || existsSync(join(directory, "elsewhere"))).toBe(false);

  const listened = listen(`${url}/events`, visitor.cookie);
  await listened.open;
  expect((await restore({ root, name: "back" })).status).toBe(202);
  await listened.saw("one: restore, done.");
  const table = await (await connect(join(root, "back"))).openTable("words");
  expect(await table.countRows()).toBe(2);
  const { body } = await visitor.get("/policies/one");
  expect(body).toContain(`into ${join(root, "back")}.`);
  expect(body).toContain("asked for by administrator");

  expect((await visitor.post(`${path.replace("one", "gated")}/restore`, { root, name: "x" })).status).toBe(
    404,
  );
  expect((await visitor.post("/policies/one/snapshots/none/restore", { root, name: "x" })).status).toBe(404);
  await page.close();
  await expect(ask(url)).rejects.toThrow("ECONNREFUSED");
});

test("a restore of a snapshot of several sources restores each", async () => {
  const { url, service, directory } = await newPage({
    policies: `  both: { sources: [{ type: lancedb, path: db }, { type: filesystem, paths: [papers] }] }`,
  });
  mkdirSync(join(directory, "papers"));
  writeFileSync(join(directory, "papers", "a.txt"), "kept");
  const root = join(directory, "restored");
  mkdirSync(root);
  const { snapshot } = await service.run("both");
  const visitor = await visit(url, "administrator");
  const path = `/policies/both/snapshots/${snapshot?.id}`;
  expect((await visitor.get(path)).body).toContain("Each source goes into a directory of its own");
  const listened = listen(`${url}/events`, visitor.cookie);
  await listened.open;
  expect((await visitor.post(`${path}/restore`, { root, name: "back" })).status).toBe(202);
  await listened.saw("both: restore, ");
  expect((await visitor.get("/policies/both")).body).not.toContain("Without");
  expect(await (await connect(join(root, "back", "lancedb"))).tableNames()).toEqual(["words"]);
  expect(readFileSync(join(root, "back", "files", "a.txt"), "utf8")).toBe("kept");
});

test("what goes into a database server is left out of a restore, and named", () => {
  const part = (type: string, id: string) =>
    ({ source: { type, id, uri: `${type}:x` } }) as SnapshotDetails["parts"][number];
  const { parts, left } = restorableParts([part("postgresql", "p"), part("files", "1"), part("files", "2")]);
  expect(left.map(nameOfSource)).toEqual(["postgresql postgresql:x"]);
  expect(placesOf(parts, "/r")).toEqual([
    { part: "1", target: "/r/files" },
    { part: "2", target: "/r/files-2" },
  ]);
});

test("a page that gives way lets in the new tokens alone, everyone anew, and begins nothing more", async () => {
  const { service } = await newPage();
  const tokens = (await TOKENS).map(({ name, role, hash }) => ({ name, role, hash }));
  await using page = await serveReplaceable(service, { tokens, listen: "127.0.0.1:0" });
  const visitor = await visit(page.url, "operator");
  const { body, open } = listen(`${page.url}/events`, visitor.cookie);
  await open;
  page.giveWay(tokens.filter(({ role }) => role === "administrator"));
  expect(await body).toContain("event: over");
  expect((await visitor.get("/")).headers.location).toBe("/login");
  await expect(visit(page.url, "operator")).rejects.toThrow("401");
  const administrator = await visit(page.url, "administrator");
  expect((await administrator.get("/policies/one")).status).toBe(200);
  expect((await administrator.post("/policies/one/run")).status).toBe(409);
  expect(service.work).toEqual([]);
});

test("what is not there, too much, and too often is refused in words", async () => {
  const { url, service, openGate, ran } = await newPage();
  const visitor = await visit(url, "operator");
  for (const path of [
    "/policies/two",
    "/policies/one/snapshots/x",
    "/policies/one/snapshots/..%2F..%2Fx",
    "/else",
  ])
    expect([path, (await visitor.get(path)).status]).toEqual([path, 404]);
  expect((await visitor.post("/policies/two/run")).status).toBe(400);
  expect((await visitor.post("/policies/one/run", { type: "odd" })).status).toBe(400);
  expect((await visitor.post("/policies/one/run", { type: "x".repeat(20_000) })).status).toBe(413);

  const ended = ran();
  expect((await visitor.post("/policies/gated/run")).status).toBe(202);
  const again = await visitor.post("/policies/gated/run");
  expect([again.status, JSON.parse(again.body)]).toEqual([
    409,
    { problem: "gated runs already. Wait for its end." },
  ]);
  const byForm = await visitor.post("/policies/gated/run", {}, { accept: "text/html" });
  expect([byForm.status, byForm.body.includes("gated runs already")]).toEqual([409, true]);
  await openGate();
  expect((await ended).outcome).toBe("success");
  expect(service.work).toEqual([]);

  // Without a script a form leads back to its page, which says once what was begun.
  const done = ran();
  const plain = await visitor.post("/policies/one/run", {}, { accept: "text/html" });
  expect([plain.status, plain.headers.location]).toEqual([303, "/policies/one"]);
  expect((await visitor.get("/policies/one")).body).toContain("A backup of one begins.</p>");
  expect((await visitor.get("/policies/one")).body).not.toContain("A backup of one begins.</p>");
  await done;
});

/** Listens to server-sent events. */
function listen(url: string, cookie: string) {
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
