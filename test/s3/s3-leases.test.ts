import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { openStorage } from "../../src/storage/open-storage.ts";
import { silent } from "../crash/silent.ts";
import { acquireLease } from "../repository/lease/leases.ts";
import { faultProxy, type Passed, type ProxyFault } from "../support/fault-proxy.ts";
import { startProcess } from "../support/other-process.ts";
import { rejection } from "../support/pieces.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";
import { TestClock } from "../support/test-clock.ts";

const missing = whyNoS3();
if (missing !== undefined) test.skip(`leases in a bucket (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("leases in a bucket", () => {
  const server = useS3Server();

  async function arrange(plan: (passed: Passed) => ProxyFault | undefined = () => undefined) {
    const bucket = await server.bucket();
    const proxy = await faultProxy(server.endpoint, plan);
    const storage = await openStorage(server.address(bucket, "vault", proxy.endpoint));
    await storage.write("warm", Buffer.from("1")); // the probe of the store is over
    return { storage, proxy, keys: () => server.keys(bucket), from: proxy.requests.length };
  }
  const isLease = ({ url }: Passed) => url.includes("/leases/");

  test("a shared one costs three requests", async () => {
    const { storage, proxy, from, keys } = await arrange();
    const lease = await acquireLease(storage, "shared", { logger: silent });
    await lease.assertHeld();
    await lease.release();
    expect(proxy.requests.slice(from).map(({ method }) => method)).toEqual(["PUT", "GET", "DELETE"]);
    expect(await keys()).toEqual(["vault/warm"]);
  });

  test.each([
    ["PUT", "done500"],
    ["PUT", "unanswered"],
    ["PUT", "lost"],
    ["DELETE", "lost"],
    ["DELETE", "done500"],
  ] as const)("a %s that is %s is borne, and nothing stays", async (method, fault) => {
    let isDone = false;
    const { storage, keys } = await arrange((passed) => {
      if (isDone || !isLease(passed) || passed.method !== method) return undefined;
      isDone = true;
      return fault;
    });
    const lease = await acquireLease(storage, "exclusive", { logger: silent });
    await lease.release();
    expect(isDone).toBe(true);
    expect(await keys()).toEqual(["vault/warm"]);
  });

  test("removed by hand, it is lost at its next renewal", async () => {
    const { storage } = await arrange();
    const clock = new TestClock(Date.now());
    const lease = await acquireLease(storage, "shared", { logger: silent, clock });
    for await (const { name } of storage.list("leases/")) await storage.remove(name);
    await clock.pass(60_000);
    await expect.poll(() => lease.isHeld).toBe(false);
    expect(((await rejection(lease.assertHeld())) as Error).message).toContain("somebody removed it");
  });

  test("a process that was stopped for longer than its lease lives does not go on as if it held it", async () => {
    const bucket = await server.bucket();
    const address = server.address(bucket, "vault");
    const holder = startProcess(`
      const { acquireLease } = await import(${JSON.stringify(join(import.meta.dirname, "../repository/lease/leases.ts"))});
      const { openStorage } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/storage/open-storage.ts"))});
      const fast = (time) => time * 200; // three minutes are 0.9 s
      const clock = {
        now: () => fast(Date.now()),
        monotonic: () => fast(performance.now()),
        every(ms, callback) { const timer = setInterval(callback, ms / 200); return () => clearInterval(timer); },
      };
      const storage = await openStorage(${JSON.stringify(address)});
      await storage.write("warm", Buffer.from("1"));
      const lease = await acquireLease(storage, "shared", { logger: silent, clock });
      print("held");
      await goOn();
      print(lease.isHeld ? "STILL HELD" : "LOST");
      await lease.assertHeld().catch((error) => print(error.code));
      await lease.release();`);
    await holder.line("held");
    holder.child.kill("SIGSTOP");
    await sleep(2000);
    holder.child.kill("SIGCONT");
    holder.goOn();
    const told = await holder.ended();
    expect(told).toContain("LOST");
    expect(told).toContain("LOCKED");
    expect((await server.keys(bucket)).filter((key) => key.includes("leases/"))).toEqual([]);
  });
});
