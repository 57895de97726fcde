import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { describe, expect, onTestFinished, test } from "vitest";
import { digestOf, type Notice } from "../../src/policy/notice.ts";
import { htmlOf, slackOf, textOf, titleOf } from "../../src/policy/notice-text.ts";
import { Notices } from "../../src/policy/notices.ts";
import type { PolicySettings } from "../../src/policy/policy-set.ts";
import { ServiceState } from "../../src/policy/service-state.ts";
import { recordingLogger } from "../support/database.ts";
import { newReceiver, newToldService } from "../support/notice-receivers.ts";

const SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;

describe("webhooks", () => {
  test("tell of a failure, once a day while it lasts, of the first success after it, and of tables that shrank", async () => {
    const { received, url } = await newReceiver();
    const { service, table, away, back } = await newToldService(
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
        data: {
          ...{ policy: "one", severity: "error", failures: 1 },
          message: expect.stringContaining("db"),
        },
      },
      { type: "backup.recovery", data: { policy: "one", snapshot: expect.any(String), failures: 0 } },
      {
        type: "backup.shrink",
        data: { message: expect.stringContaining("table t had 200 rows, and has 11") },
      },
    ]);
    const [first] = received;
    expect(() => new Webhook(SECRET).verify(`${first?.body} `, first?.headers as never)).toThrow();
  });

  test("are sent again where the receiver failed, with the same id, and then a warning, never the run's failure", async () => {
    const { received, url } = await newReceiver((path, count) =>
      path.startsWith("/never") || count < 3 ? 500 : 200,
    );
    const { service, logged } = await newToldService(
      `[{ type: webhook, url: "${url}/later", on: [success] }, { type: webhook, url: "${url}/never?token=s3cret", on: [success] }]`,
    );
    expect((await service.run("one")).outcome).toBe("success");
    await service.stop();
    const later = received.filter(({ path }) => path === "/later");
    expect(later).toHaveLength(3);
    expect(new Set(later.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(received.filter(({ path }) => path.startsWith("/never")).length).toBeGreaterThan(1);
    const warnings = logged.filter(({ message }) => message === "a notice was not sent");
    expect(warnings).toMatchObject([{ meta: { reason: expect.stringContaining("the status 500") } }]);
    expect(JSON.stringify(logged)).not.toContain("s3cret");
  });

  test("follow no redirect", async () => {
    const { received, url } = await newReceiver(() => 302);
    const { service, logged } = await newToldService(
      `[{ type: webhook, url: "${url}/hook", on: [success] }]`,
    );
    await service.run("one");
    await service.stop();
    // Nor is it asked again at once: it would send elsewhere again.
    expect(received.map(({ path }) => path)).toEqual(["/hook"]);
    const warnings = logged.filter(({ message }) => message === "a notice was not sent");
    expect(warnings).toMatchObject([{ meta: { reason: expect.stringContaining("the status 302") } }]);
  });
});

test("Slack is told in blocks and text", async () => {
  const { received, url } = await newReceiver();
  const { service, logged, table, set } = await newToldService(
    `[{ type: slack, url: "${url}/services/T/B/s3cret", on: [failure] }]`,
    { rest: `, allow_empty: false, fail_on_shrink: true, description: x` },
  );
  await service.run("one");
  await table.delete("id > 10");
  await service.run("one");
  await service.stop();
  const body = JSON.parse(received[0]?.body ?? "");
  expect(body).toMatchObject({
    text: expect.stringContaining("[error] Backup one failed"),
    blocks: [
      { type: "header", text: { type: "plain_text", text: expect.stringContaining("Backup one failed") } },
      { type: "section", text: { type: "mrkdwn", verbatim: true } },
      { type: "context", elements: [{ type: "mrkdwn", verbatim: true }] },
    ],
  });
  expect(JSON.stringify([logged, set.get("one")?.show()])).not.toContain("s3cret");
});

test("in what Slack is told nothing is a link or calls anybody, and no text is longer than it takes", () => {
  const hostile = `<!channel> <https://evil.example|click> & \u202e${"<😀".repeat(5000)}`;
  const sent = slackOf({
    ...{ kind: "damage", severity: "critical", policy: "one", message: hostile },
    ...{ repository: hostile, host: "here", failures: 1 },
  });
  const texts: string[] = [];
  JSON.stringify(sent, (key, value) => {
    if (key === "text" && typeof value === "string") texts.push(value);
    return value;
  });
  expect(texts).toHaveLength(4);
  for (const text of texts) {
    expect(text).not.toMatch(/[<>\u202e]|&(?!amp;|lt;|gt;)|[\ud800-\udbff](?![\udc00-\udfff])/);
    expect(text.length).toBeLessThanOrEqual(3000);
  }
  expect(texts[0]).toContain("&lt;!channel&gt; &lt;https://evil.example|click&gt; &amp;");
});

test("pings tell of the beginning, of a success, and of a failure with its reason, in this order", async () => {
  const { received, url } = await newReceiver();
  const { service, away } = await newToldService(`[{ type: ping, url: "${url}/uuid" }]`);
  await service.run("one");
  away();
  await service.run("one");
  await service.stop();
  expect(received.map(({ path }) => path)).toEqual(["/uuid/start", "/uuid", "/uuid/start", "/uuid/fail"]);
  expect(received[3]?.body).toContain("Policy one failed: ");
});

test("a ping that has waited in line for more than a minute is not sent", async () => {
  const paths: string[] = [];
  const [started, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const server = createServer(async (request, response) => {
    paths.push(request.url ?? "");
    started.resolve();
    await held.promise;
    response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { service, clock, logged } = await newToldService(`[{ type: ping, url: "${url}/uuid" }]`);
  await service.run("one");
  await started.promise;
  clock.sleep(61_000);
  held.resolve();
  await service.stop();
  expect(paths).toEqual(["/uuid/start"]);
  expect(logged.map(({ meta }) => meta?.["reason"])).toContain("the notices before it took too long");
});

test("an address that is none keeps no run from being made and told of, and ends no service", async () => {
  const { received, until, url } = await newReceiver();
  const { service, set, clock, logged } = await newToldService(
    `[{ type: ping, url: "${url}/s3cret" }, { type: ping, url: "${url}/good" }, { type: slack, url: "${url}/" }]`,
    { schedule: "max_age: 1h, retry_window: 1ms" },
  );
  // As no file can say it.
  for (const one of set.get("one")!.settings.notifications)
    if (one.type === "slack" || (one.type === "ping" && one.url.includes("s3cret")))
      Object.assign(one, { url: "https://x:99999/s3cret" });
  const heard: string[] = [];
  service.onRun(({ outcome }) => heard.push(outcome));
  expect((await service.run("one")).outcome).toBe("success");
  expect([heard, service.work]).toEqual([["success"], []]);
  expect((await until(2)).map(({ path }) => path)).toEqual(["/good/start", "/good"]);
  const brokeOff = () => logged.filter(({ message }) => message === "a notice could not be made");
  const before = brokeOff().length;
  expect(before).toBe(3);
  service.start();
  await service.status();
  clock.sleep(2 * 3_600_000);
  await clock.pass(1000, 0);
  expect(brokeOff()).toHaveLength(before + 1);
  await service.stop();
  expect(received).toHaveLength(2);
  expect(brokeOff()).toContainEqual(expect.objectContaining({ level: "warn" }));
  expect(JSON.stringify(logged)).not.toContain("s3cret");
});

test("addresses and secrets are not shown", async () => {
  const { set } = await newToldService(
    `[{ type: webhook, url: "https://hooks.example/s3cret", secret: "${SECRET}" }, { type: ping, url: "https://ping.example/s3cret" }, { type: slack, url: "https://slack.example/s3cret" }, { type: mail, host: mail.example, user: me, password: s3cret, from: a@b.c, to: [d@e.f] }]`,
  );
  const shown = JSON.stringify(set.get("one")?.show());
  expect(shown).toContain("https://hooks.example");
  expect(shown).not.toMatch(/s3cret|whsec/);
});

describe("of many at once", () => {
  const kinds = (received: readonly { path: string; body: string }[], path: string) =>
    received.filter((one) => one.path === path).map(({ body }) => JSON.parse(body).type);

  test("people are told in one when the time is over, once; programs of each by itself, unless the file says otherwise", async () => {
    const { received, until, url } = await newReceiver();
    const hook = (path: string, rest = "") =>
      `{ type: webhook, url: "${url}/${path}", on: [success]${rest} }`;
    const { service, clock } = await newToldService(
      `[{ type: slack, url: "${url}/slack", on: [success] }, ${hook("each")}, ${hook("digest", `, digest: 5m, secret: "${SECRET}"`)}]`,
    );
    const at = (path: string) => received.filter((one) => one.path === path);
    service.start();
    await service.status();
    for (let i = 0; i < 5; i++) await service.run("one");
    await until(3 + 5 + 3);
    const pass = async (ms: number) => {
      clock.sleep(ms - 1000);
      await clock.pass(1000, 0);
    };
    await pass(299_000);
    await service.run("one");
    await until(3 + 6 + 3);
    // Also where it was asleep for so long that they would be sent again by now.
    await pass(3_600_000);
    await until(4 + 6 + 4);
    const [held] = at("/digest").slice(3);
    expect(new Webhook(SECRET).verify(held?.body ?? "", held?.headers as never)).toMatchObject({
      type: "backup.digest",
      data: {
        ...{ severity: "info", message: "1 policy went well.", policies: { success: 1 }, more: 0 },
        notices: Array(3).fill({ kind: "success", policy: "one", id: expect.stringMatching(/^msg_/) }),
      },
    });
    expect(
      JSON.parse(at("/slack")[3]?.body ?? "").blocks[1].text.text.match(/• Policy one went well/g),
    ).toHaveLength(3);
    // They still come: the next is held, too, and goes as it is.
    await service.run("one");
    await pass(299_000);
    expect(at("/digest")).toHaveLength(4);
    await pass(1000);
    await until(5 + 7 + 5);
    expect(kinds(received, "/digest").at(-1)).toBe("backup.success");
    await pass(300_000);
    await service.run("one");
    await until(6 + 8 + 6);
    await service.stop();
    expect(received).toHaveLength(6 + 8 + 6);
  });

  test("also where the service was not started: what is held goes with the next run, or when its time is over", async () => {
    const { received, until, url } = await newReceiver();
    const { service, clock } = await newToldService(
      `[{ type: webhook, url: "${url}/", on: [success], digest: 5m }]`,
    );
    for (let i = 0; i < 6; i++) await service.run("one");
    await until(3);
    clock.sleep(300_000);
    await service.run("one");
    await until(4);
    expect(JSON.parse(received[3]?.body ?? "")).toMatchObject({
      type: "backup.digest",
      data: { policies: { success: 1 } },
    });
    expect(JSON.parse(received[3]?.body ?? "").data.notices).toHaveLength(3);
    await clock.pass(300_000, 0);
    await until(5);
    expect(kinds(received, "/").at(-1)).toBe("backup.success");
  });

  test("what is being made when the service is stopped is sent before it has ended", async () => {
    const { received, url } = await newReceiver();
    const { set, clock, stateDirectory } = await newToldService(
      `[{ type: webhook, url: "${url}/", on: [success], digest: 5m }]`,
    );
    const { logger } = recordingLogger();
    const state = new ServiceState(stateDirectory, logger);
    const settings = set.get("one")?.settings as PolicySettings;
    const notices = new Notices(logger, state, clock);
    const [startedAt, endedAt] = [new Date(), new Date()];
    const report = { policy: "one", type: "full", outcome: "success", startedAt, endedAt } as const;
    const before = state.read(settings);
    for (let i = 0; i < 5; i++) void notices.end(settings, { ...report, durationMs: 1, attempts: 1 }, before);
    await notices.sendAll();
    expect(kinds(received, "/")).toEqual([...Array(3).fill("backup.success"), "backup.digest"]);
  });

  test("of what is not taken in one, the oldest may be given up, which is said", async () => {
    const { url } = await newReceiver(() => 404);
    const { service, clock, logged } = await newToldService(
      `[{ type: webhook, url: "${url}/", on: [success], digest: 1d }]`,
    );
    for (let i = 0; i < 4; i++) await service.run("one");
    await service.stop();
    clock.sleep(4 * 86_400_000);
    await service.run("one");
    await service.stop();
    const nextAttempt = new Date(clock.now() + 86_400_000 + 60_000).toISOString();
    expect(logged.filter(({ message }) => message === "a notice was not sent").at(-1)).toMatchObject({
      meta: { kind: "digest", notices: 2, givenUp: 1, nextAttempt },
    });
  });

  test("what is not taken in one is one warning, and waits", async () => {
    const { received, url } = await newReceiver((_path, count) => (count === 4 ? 404 : 200));
    const { service, again, clock, logged } = await newToldService(
      `[{ type: webhook, url: "${url}/", on: [success], digest: 1h }]`,
    );
    for (let i = 0; i < 6; i++) await service.run("one");
    await service.stop();
    expect(kinds(received, "/")).toEqual([...Array(3).fill("backup.success"), "backup.digest"]);
    const warnings = logged.filter(({ message }) => message === "a notice was not sent");
    expect(warnings).toMatchObject([{ meta: { kind: "digest", notices: 3 } }]);
    clock.sleep(2 * 3_600_000);
    await again().status({ notify: true });
    const ids = JSON.parse(received[3]?.body ?? "").data.notices.map(({ id }: { id: string }) => id);
    while (received.length < 7) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(received.slice(4).map(({ headers }) => headers["webhook-id"])).toEqual(ids);
  });

  test("the worst is told first, two hundred by name, and no more than Slack takes", () => {
    const notice = (i: number): Notice => ({
      ...{ kind: i === 999 ? "damage" : "failure", severity: i === 999 ? "critical" : "error" },
      ...{ policy: `p${i}`, message: `Policy p${i} failed: <b>\nno & ${"x".repeat(1000)}` },
      ...{ repository: "/vault", host: "here", failures: 1 },
    });
    const digest = digestOf(Array.from({ length: 1000 }, (_, i) => ({ id: `msg_${i}`, notice: notice(i) })));
    expect(titleOf(digest)).toBe("[critical] Backups: 999 policies failed, 1 has a damaged snapshot");
    expect(digest.notices.map(({ policy }) => policy).slice(0, 3)).toEqual(["p999", "p0", "p1"]);
    expect([digest.notices.length, digest.more]).toEqual([200, 800]);
    expect(textOf(digest).length).toBeLessThan(100_000);
    expect(textOf(digest)).toContain("\n- and 800 more: see lancedb-backup status\n\nRepository:");
    expect(htmlOf(digest)).toContain("<li>Policy p0 failed: &lt;b&gt; no &amp; xxx");
    const texts = JSON.stringify(slackOf(digest)).match(/(?<="text":")[^"]*/g) ?? [];
    expect(Math.max(...texts.map((text) => JSON.parse(`"${text}"`).length))).toBeLessThanOrEqual(3000);
    expect(texts.join()).toMatch(/… and \d+ more lines/);
  });
});

describe("what a receiver is told", () => {
  const kindsAt = (received: readonly { path: string; body: string }[], path: string) =>
    received
      .filter((one) => one.path === path)
      .map(({ body }) => JSON.parse(body).type.replace("backup.", ""));

  test("is said by kinds, or by how bad it is; a shrink that fails a run is told once", async () => {
    const { received, url } = await newReceiver();
    const hook = (path: string, rest: string) => `{ type: webhook, url: "${url}/${path}"${rest} }`;
    const { service, table } = await newToldService(
      `[${[
        hook("default", ""),
        hook("shrink", ", on: [shrink]"),
        hook("all", ", severity: info"),
        hook("error", ", severity: error"),
        hook("critical", ", severity: critical"),
        hook("both", ", on: [failure, shrink, success]"),
      ].join(", ")}]`,
      { rest: ", fail_on_shrink: 50%" },
    );
    await service.run("one");
    await table.delete("id > 10");
    await service.run("one");
    await table.add(Array.from({ length: 200 }, (_, id) => ({ id })));
    await service.run("one");
    await service.stop();
    expect(kindsAt(received, "/default")).toEqual(["failure", "recovery"]);
    expect(kindsAt(received, "/shrink")).toEqual(["shrink"]);
    expect(kindsAt(received, "/all")).toEqual(["success", "failure", "success", "recovery"]);
    expect(kindsAt(received, "/error")).toEqual(["failure", "recovery"]);
    expect(kindsAt(received, "/critical")).toEqual([]);
    expect(kindsAt(received, "/both")).toEqual(["success", "failure", "success"]);
  });
});
