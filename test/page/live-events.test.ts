import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { samplePage } from "../../scripts/page-sample.ts";
import { pageSettings } from "../../src/page/page-options.ts";
import { serveReplaceable, serveSource } from "../../src/page/serve-page.ts";
import { TestClock } from "../support/test-clock.ts";
import { ask, listen, newPage, pageTokens, visit } from "./page-place.ts";

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

test("a page that gives way lets in the new tokens alone, everyone anew, and begins nothing more", async () => {
  const { service } = await newPage();
  const tokens = await pageTokens();
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

test("who does not read what is sent costs a few messages, not all; who reads again has the last", async () => {
  const source = samplePage();
  const listeners = new Set<(what: "work" | "changed", said?: string) => void>();
  const settings = pageSettings({ listen: "127.0.0.1:0", tokens: await pageTokens() });
  const served = await serveSource(settings, () => ({
    ...source,
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  }));
  onTestFinished(() => served.close());
  const { cookie } = await visit(served.url, "reader");
  const { port, host } = new URL(served.url);
  const socket = connectSocket(Number(port), "127.0.0.1").pause();
  onTestFinished(() => void socket.destroy());
  socket.write(`GET /events HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\n\r\n`);
  await expect.poll(() => listeners.size).toBe(1);
  // 500 MB, of which the system's buffers take some.
  const long = "x".repeat(100_000);
  for (let count = 1; count <= 5000; count++) {
    for (const tell of listeners) tell("changed", count === 5000 ? "the last" : long);
    await new Promise((resolve) => setImmediate(resolve));
  }
  let [bytes, end] = [0, ""];
  socket.on("data", (piece) => {
    bytes += piece.length;
    end = (end + piece.toString("latin1")).slice(-10_000);
    if (end.includes("data: the last")) socket.emit("has the last");
  });
  socket.resume();
  await once(socket, "has the last");
  expect(bytes).toBeLessThan(50_000_000);
  expect(listeners.size).toBe(1);
  socket.destroy();
  await expect.poll(() => listeners.size).toBe(0);
});
