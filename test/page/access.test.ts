import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request as requestOverTls } from "node:https";
import { join } from "node:path";
import { expect, test } from "vitest";
import { IoError, ValidationError } from "../../src/index.ts";
import { isTokenHash, newToken, ownerOf } from "../../src/page/access-token.ts";
import { type Role, servePage } from "../../src/page/index.ts";
import { SignIn } from "../../src/page/sign-in.ts";
import { newDirectory } from "../support/database.ts";
import { TestClock } from "../support/test-clock.ts";
import { ask, newPage, pageTokens, ROLES, TOKENS, tokenOf, visit } from "./page-place.ts";

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
  const tokens = await pageTokens();
  for (const sessionMs of [400 * day + 1, Number.NaN, 0])
    await expect(servePage(service, { tokens, sessionMs })).rejects.toThrow("400 days");
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
  const reader = await tokenOf("reader");
  const later = await newPage();
  const { headers: entered } = await ask(`${later.url}/login`, { method: "POST", fields: { token: reader } });
  expect(entered.location).toBe("/");
  const told = JSON.stringify([logged, later.logged]);
  expect(told).toContain("signed in on the page");
  for (const secret of ["guessed", reader.slice(-43)]) expect(told).not.toContain(secret);
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
  const tokens = await pageTokens();
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
  const reader = await tokenOf("reader");
  await using secure = await servePage(service, { tokens, listen: "127.0.0.1:0", tls: { cert, key } });
  expect(secure.url).toMatch(/^https:/);
  const answered = await new Promise<IncomingMessage>((resolve, reject) => {
    const form = { "content-type": "application/x-www-form-urlencoded" };
    const options = { method: "POST", headers: form, rejectUnauthorized: false, agent: false };
    const asked = requestOverTls(`${secure.url}/login`, options, (response) => resolve(response.resume()));
    asked.on("error", reject).end(`token=${reader}`);
  });
  expect(answered.statusCode).toBe(303);
  expect(answered.headers["strict-transport-security"]).toBe("max-age=31536000");
  expect(answered.headers["set-cookie"]).toEqual([
    expect.stringMatching(/; HttpOnly; Secure; SameSite=Strict$/),
  ]);
});
