import { once } from "node:events";
import { renameSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Webhook } from "standardwebhooks";
import { describe, expect, onTestFinished, test } from "vitest";
import { BackupService, loadPolicies } from "../../src/index.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";

const SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A real server that keeps what it gets. @param answer its status, by the path; undefined: it never answers. */
async function newReceiver(answer: (path: string, count: number) => number | undefined = () => 200) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    received.push({ path: request.url ?? "", headers: request.headers, body });
    const status = answer(request.url ?? "", received.length);
    if (status !== undefined) response.writeHead(status, { location: "/elsewhere" }).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { received, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function newService(notifications: string) {
  const directory = await newDirectory();
  const database = join(directory, "db");
  const table = await (await connect(database)).createTable(
    "t",
    Array.from({ length: 200 }, (_, id) => ({ id })),
  );
  const file = join(directory, "backup.yaml");
  writeFileSync(
    file,
    `backup_manager:
  storage: { type: local, path: vault }
  notifications: ${notifications}
policies:
  one: { sources: [{ type: lancedb, path: ${database} }], schedule: { full: 1d, retry_window: 1s } }
`,
  );
  const { logger, logged } = recordingLogger();
  const set = await loadPolicies(file, {});
  const service = new BackupService(set, { logger });
  onTestFinished(() => service.stop());
  const away = () => renameSync(database, `${database}-away`);
  const back = () => renameSync(`${database}-away`, database);
  return { service, set, table, away, back, logged };
}

describe("webhooks", () => {
  test("tell of a failure, once a day while it lasts, of the first success after it, and of tables that shrank", async () => {
    const { received, url } = await newReceiver();
    const { service, table, away, back } = await newService(
      `[{ type: webhook, url: "${url}/hook", secret: "${SECRET}" }]`,
    );
    await service.run("one");
    away();
    await service.run("one");
    await service.run("one");
    back();
    await service.run("one");
    await table.delete("id > 10");
    await service.run("one");
    await service.stop();
    const notices = received.map(({ headers, body }) => new Webhook(SECRET).verify(body, headers as never));
    expect(notices).toMatchObject([
      {
        type: "backup.failure",
        data: { policy: "one", failures: 1, message: expect.stringContaining("db") },
      },
      { type: "backup.recovery", data: { policy: "one", snapshot: expect.any(String) } },
      {
        type: "backup.shrink",
        data: { message: expect.stringContaining("table t had 200 rows, and has 11") },
      },
    ]);
    const [first] = received;
    expect(() => new Webhook(SECRET).verify(`${first?.body} `, first?.headers as never)).toThrow();
  });

  test("are sent again where the receiver failed, and then a warning, never the run's failure", async () => {
    const { received, url } = await newReceiver((path, count) =>
      path.startsWith("/never") || count < 3 ? 500 : 200,
    );
    const { service, logged } = await newService(
      `[{ type: webhook, url: "${url}/later", on: [success] }, { type: webhook, url: "${url}/never?token=s3cret", on: [success] }]`,
    );
    expect((await service.run("one")).outcome).toBe("success");
    await service.stop();
    expect(received.filter(({ path }) => path === "/later")).toHaveLength(3);
    expect(received.filter(({ path }) => path.startsWith("/never")).length).toBeGreaterThan(1);
    const warnings = logged.filter(({ message }) => message === "a notice was not sent");
    expect(warnings).toMatchObject([{ meta: { reason: expect.stringContaining("the status 500") } }]);
    expect(JSON.stringify(logged)).not.toContain("s3cret");
  }, 30_000);

  test("follow no redirect", async () => {
    const { received, url } = await newReceiver(() => 302);
    const { service, logged } = await newService(`[{ type: webhook, url: "${url}/hook", on: [success] }]`);
    await service.run("one");
    await service.stop();
    expect(received.map(({ path }) => path)).not.toContain("/elsewhere");
    expect(logged).toContainEqual(expect.objectContaining({ message: "a notice was not sent" }));
  }, 30_000);

  test("to one that never answers hold up neither the run nor, for long, the end", async () => {
    const { url } = await newReceiver(() => undefined);
    const { service } = await newService(`[{ type: webhook, url: "${url}/hook", on: [success] }]`);
    const started = performance.now();
    expect((await service.run("one")).outcome).toBe("success");
    expect(performance.now() - started).toBeLessThan(10_000);
    await service.stop();
    expect(performance.now() - started).toBeLessThan(25_000);
  }, 30_000);
});

test("pings tell of the beginning, of a success, and of a failure with its reason, in this order", async () => {
  const { received, url } = await newReceiver();
  const { service, away } = await newService(`[{ type: ping, url: "${url}/uuid" }]`);
  await service.run("one");
  away();
  await service.run("one");
  await service.stop();
  expect(received.map(({ path }) => path)).toEqual(["/uuid/start", "/uuid", "/uuid/start", "/uuid/fail"]);
  expect(received[3]?.body).toContain("Policy one failed: ");
});

test("addresses and secrets are not shown", async () => {
  const { set } = await newService(
    `[{ type: webhook, url: "https://hooks.example/s3cret", secret: "${SECRET}" }, { type: ping, url: "https://ping.example/s3cret" }]`,
  );
  const shown = JSON.stringify(set.get("one")?.show());
  expect(shown).toContain("https://hooks.example");
  expect(shown).not.toMatch(/s3cret|whsec/);
});
