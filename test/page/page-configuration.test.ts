import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { loadPolicies, PolicyFileError } from "../../src/index.ts";
import { tokenOf } from "../../src/page/access-token.ts";
import { pageOptionsOf, pageSettings } from "../../src/page/page-options.ts";
import { MAIN, run, runJson } from "../cli/cli.ts";
import { newDirectory } from "../support/database.ts";
import { ask } from "./page-place.ts";

const HASH = `$scrypt$ln=15,r=8,p=1$${"A".repeat(22)}$${"B".repeat(43)}`;

const CHEAP = { ln: 10, r: 8, p: 1 };

async function fileWith(page: string) {
  const directory = await newDirectory();
  const file = join(directory, "backup.yaml");
  writeFileSync(
    file,
    `backup_manager:
  storage: { type: local, path: vault }
  page: ${page}
policies:
  one: { sources: [{ type: lancedb, path: db }], schedule: { full: 1d } }
`,
  );
  return { directory, file };
}

test("the file says how the page is served; its paths are from the file's directory on", async () => {
  const tokens = `[{ name: anna, role: operator, hash: "${HASH}" }]`;
  const { directory, file } = await fileWith(
    `{ listen: "0.0.0.0:8421", tls: { cert: c.pem, key: /k.pem }, hosts: [backup.example], tokens: ${tokens}, restore_to: [back, /restore], session: 2h }`,
  );
  const { page } = await loadPolicies(file);
  expect(page && pageSettings(pageOptionsOf(page))).toMatchObject({
    ...{ host: "0.0.0.0", port: 8421, hosts: ["backup.example"], sessionMs: 7_200_000 },
    tls: { cert: join(directory, "c.pem"), key: "/k.pem" },
    tokens: [{ name: "anna", role: "operator", hash: HASH }],
    restoreTo: [join(directory, "back"), "/restore"],
  });
  const plain = await loadPolicies((await fileWith(`{ tokens: ${tokens} }`)).file);
  expect(plain.page && pageSettings(pageOptionsOf(plain.page))).toMatchObject({
    host: "127.0.0.1",
    port: 8420,
  });
});

test.each([
  ["8420", "page", "it must be a mapping with listen, tls"],
  ["{ listen: example.com:80 }", "page.listen", "an address and a port"],
  ["{ tokens: [] }", "page.tokens", "lancedb-backup page token"],
  ["{ tokens: [{ name: a, role: root, hash: x }] }", "role", "reader, operator, administrator"],
  ["{ tokens: [{ name: a, role: reader, hash: secret }] }", "hash", "lancedb-backup page token"],
  ["{ tokens: [{ name: a, role: reader, token: x }] }", "token", "there are name, role, hash"],
  ["{ tls: { cert: c } }", "page.tls", "key"],
  ["{ restore_to: /x }", "restore_to", "a list of texts"],
  ["{ session: long }", "session", "a time such as"],
  ["{ session: 401d }", "session", "at most 400d"],
  ["{ port: 1 }", "port", "there is no such key"],
])("wrong in the file: %s", async (page, key, what) => {
  const { file } = await fileWith(page);
  const error = await loadPolicies(file).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(PolicyFileError);
  expect(String(error)).toContain(`${file}:3`);
  expect(String(error)).toContain(key);
  expect(String(error)).toContain(what);
});

test("the command makes a token and its line, serves the page with run, and ends it with SIGTERM", async () => {
  const made = await runJson<{ token: string; hash: string }>([
    "page",
    "token",
    "--role",
    "administrator",
    "--name",
    'an"na',
  ]);
  const printed = await run(["page", "token", "--role", "reader"]);
  expect(printed.stdout).toMatch(
    /lbp_[\w-]{66}\n[\s\S]*- \{ name: "reader", role: reader, hash: "\$scrypt\$ln=15,r=8,p=1\$[\w-]{22}\$[\w-]{43}" \}\n$/,
  );
  expect((await run(["page", "token", "--role", "root"])).code).toBe(2);

  const { directory, file } = await fileWith(
    `{ listen: "127.0.0.1:0", tokens: [{ name: anna, role: reader, hash: "${made.hash}" }] }`,
  );
  await (await connect(join(directory, "db"))).createTable("t", [{ id: 1 }]);
  const { child, url } = await serving(file);
  for (const [path, type, text] of [
    ["page.js", "text/javascript", "EventSource"],
    ["uplot.js", "text/javascript", "Permission is hereby granted"],
    ["uplot.js", "text/javascript", "uPlot"],
    ["uplot.css", "text/css", ".uplot"],
    ["page.css", "text/css", "prefers-color-scheme"],
    ["icon.svg", "image/svg+xml", "<svg"],
  ] as const) {
    const { status, headers, body } = await ask(`${url}/assets/${path}`);
    expect([path, status, headers["content-type"]]).toEqual([path, 200, expect.stringContaining(type)]);
    expect(body).toContain(text);
    const again = await ask(`${url}/assets/${path}`, { headers: { "if-none-match": String(headers.etag) } });
    expect(again.status).toBe(304);
  }
  const entered = await ask(`${url}/login`, { method: "POST", fields: { token: made.token } });
  const cookie = entered.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
  const page = await ask(`${url}/`, { headers: { cookie } });
  expect([page.status, page.body.includes("<b>anna</b>")]).toEqual([200, true]);

  // Read anew, it is there again, and everyone signs in anew.
  const again = nextUrl(child);
  child.kill("SIGHUP");
  const second = await again;
  expect((await ask(`${second}/`, { headers: { cookie, accept: "text/html" } })).headers.location).toBe(
    "/login",
  );
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
  await expect(ask(second)).rejects.toThrow("ECONNREFUSED");
});

test("what cannot be served is told before anything runs: no TLS, an address that is taken, a package that is missing", async () => {
  const tokens = `tokens: [{ name: anna, role: reader, hash: "${HASH}" }]`;
  const open = await fileWith(`{ listen: "0.0.0.0:0", ${tokens} }`);
  for (const command of [["run"], ["policy", "check"]]) {
    const { code, stderr } = await run([...command, "--config", open.file]);
    expect([command, code, stderr]).toEqual([
      command,
      2,
      expect.stringContaining("On 0.0.0.0 others could read tokens"),
    ]);
  }
  const { file } = await fileWith(`{ listen: "127.0.0.1:0", ${tokens} }`);
  const { url } = await serving(file);
  const taken = await fileWith(`{ listen: "${new URL(url).host}", ${tokens} }`);
  const second = await run(["run", "--config", taken.file]);
  expect([second.code, second.stderr]).toEqual([
    1,
    expect.stringContaining(`cannot listen on ${new URL(url).host}`),
  ]);

  const hook = `import { registerHooks } from "node:module";
    registerHooks({ resolve(name, context, next) {
      if (name === "hono") throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
      return next(name, context);
    } });`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` };
  const { code, stderr } = await run(["run", "--config", file], { env });
  expect([code, stderr]).toEqual([1, expect.stringContaining("npm install hono@4 @hono/node-server@2")]);
});

test("a page that is added while the service runs, and cannot be served, leaves the service running", async () => {
  const { directory, file } = await fileWith(`{ tokens: [{ name: anna, role: reader, hash: "${HASH}" }] }`);
  await (await connect(join(directory, "db"))).createTable("t", [{ id: 1 }]);
  const withPage = readFileSync(file, "utf8");
  writeFileSync(file, withPage.replace(/ {2}page: .*\n/, ""));
  const child = running(file);
  await nextSaid(child, /one: (success)/);

  const other = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void other.close());
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  writeFileSync(file, withPage.replace("page: {", `page: { listen: "127.0.0.1:${port}",`));
  const [told, read] = [nextSaid(child, /the page is not served(.*)/), nextSaid(child, /(were read again)/)];
  child.kill("SIGHUP");
  expect(await told).toContain(`cannot listen on 127.0.0.1:${port}`);
  await read;

  other.close();
  await once(other, "close");
  const url = nextUrl(child);
  child.kill("SIGHUP");
  expect(await url).toBe(`http://127.0.0.1:${port}`);
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
});

test("a token that is taken back is worth nothing from SIGHUP on, also while a run goes on", async () => {
  const [anna, ben] = await Promise.all([tokenOf(CHEAP), tokenOf(CHEAP)]);
  const line = (name: string, { hash }: { hash: string }) =>
    `{ name: ${name}, role: operator, hash: "${hash}" }`;
  const { directory, file } = await fileWith(
    `{ listen: "127.0.0.1:0", tokens: [${line("anna", anna)}, ${line("ben", ben)}] }`,
  );
  const gate = join(directory, "gate");
  execFileSync("mkfifo", [gate]);
  const text = readFileSync(file, "utf8").replace(
    "type: lancedb, path: db",
    `type: command, name: g, command: [cat, ${gate}]`,
  );
  writeFileSync(file, text);
  const { child, url } = await serving(file);
  const enter = (token: string) => ask(`${url}/login`, { method: "POST", fields: { token } });
  const cookie = (await enter(anna.token)).headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
  await expect.poll(async () => (await ask(`${url}/`, { headers: { cookie } })).body).toContain("Running");
  writeFileSync(file, text.replace(`${line("anna", anna)}, `, ""));
  child.kill("SIGHUP");
  const statusOf = async () => (await ask(`${url}/`, { headers: { cookie } })).status;
  await expect.poll(statusOf).toBe(401);
  expect([(await enter(anna.token)).status, (await enter(ben.token)).status]).toEqual([401, 303]);
  // Read again while the run still goes on.
  const bens = (await enter(ben.token)).headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
  writeFileSync(file, text.replace(`, ${line("ben", ben)}`, ""));
  child.kill("SIGHUP");
  await expect.poll(async () => (await ask(`${url}/`, { headers: { cookie: bens } })).status).toBe(401);
  expect((await enter(ben.token)).status).toBe(401);
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
});

/** `run` of a file, whose page is there. */
async function serving(file: string): Promise<{ child: ChildProcess; url: string }> {
  const child = running(file);
  return { child, url: await nextUrl(child) };
}

function running(file: string): ChildProcess {
  const child = spawn(process.execPath, [MAIN, "run", "--config", file], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

function nextUrl(child: ChildProcess): Promise<string> {
  return nextSaid(child, /The page is at (\S+)/);
}

/** What a pattern's group finds in what is said from now on. */
function nextSaid(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const hear = (piece: Buffer) => {
      text += piece;
      const found = pattern.exec(text)?.[1];
      if (found === undefined) return;
      child.stderr?.off("data", hear).resume();
      resolve(found);
    };
    child.stderr?.on("data", hear);
    child.once("exit", () => reject(new Error(text)));
  });
}
