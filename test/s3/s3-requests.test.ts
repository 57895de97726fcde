import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Repository, rawKey } from "lancedb-backup";
import { describe, expect, onTestFinished, test } from "vitest";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { faultProxy, type Passed } from "../support/fault-proxy.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";
import { makeSampleTable } from "../support/sample.ts";

const missing = whyNoS3();
if (missing !== undefined) test.skip(`requests to a bucket (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("requests to a bucket", () => {
  const server = useS3Server();
  const { logger } = recordingLogger();

  /** How many there were since it was asked last, by method; `LIST` for listings. */
  function counter(requests: readonly Passed[]) {
    let seen = 0;
    return () => {
      const fresh = requests.slice(seen);
      seen = requests.length;
      const kinds = fresh.map(({ method, url }) => (/[?&]list-type=2/.test(url) ? "LIST" : method));
      const by = Object.fromEntries(
        [...Map.groupBy(kinds, (kind) => kind)].map(([kind, { length }]) => [kind, length]),
      );
      return { total: fresh.length, by };
    };
  }

  test("a snapshot with nothing changed takes ten, among them a page of snapshots and one of leases", async () => {
    const directory = await newDirectory();
    const uri = join(directory, "db");
    const db = await connect(uri);
    onTestFinished(() => db.close());
    await makeSampleTable(db, "main", { indices: true });
    const proxy = await faultProxy(server.endpoint, () => undefined);
    const address = server.address(await server.bucket(), "vault", proxy.endpoint);
    const since = counter(proxy.requests);
    await Repository.init(address, { logger });
    const open = () => Repository.open(address, { logger });
    since();
    await (await open()).backup({ source: uri });
    const first = since();
    const again = await (await open()).backup({ source: uri });
    const unchanged = since();
    await (await open()).list();
    const list = since();
    const silently = await Repository.open(address, { logger, audit: "off" });
    await silently.restore("latest", { target: join(directory, "back") });
    const restore = since();
    const opened = await open();
    await opened.restore("latest", { target: join(directory, "again") });
    const recorded = since();
    await opened.restore("latest", { target: join(directory, "once more") });
    const recordedAgain = since();
    expect(again.storedBytes).toBe(0);
    // Of a hundred files. The listings are a page of snapshots and one of leases.
    expect(unchanged).toMatchObject({ by: { LIST: 2 } });
    expect(unchanged.total).toBeLessThanOrEqual(10);
    expect([first.total, list.total, restore.total].map((total) => total <= 14)).toEqual([true, true, true]);
    // Its entry in the audit log, of a process that has to look where the log ends, and whether the store excludes.
    expect(recorded.total - restore.total).toBeLessThanOrEqual(9);
    // Then the repository's mark, the log's head, the entry, the one before, and the head again. The documents are at hand by now, too.
    expect(recordedAgain.total - restore.total).toBeLessThanOrEqual(5);
    expect(await opened.restores()).toMatchObject([{ outcome: "success" }, { outcome: "success" }]);
    expect(await opened.verifyAudit()).toMatchObject({ ok: true, entries: 2 });
    const rolled = async () => (await opened.verify(undefined, { rollingDays: 30 })).at(-1);
    expect(await rolled()).toMatchObject({
      check: "rolling",
      ok: true,
      oldestBlobSeconds: expect.any(Number),
    });
    expect(await rolled()).toMatchObject({ check: "rolling", ok: true });
  });

  test("with nothing changed an encrypted one takes twelve, where the document before was kept near", async () => {
    const directory = await newDirectory();
    const uri = join(directory, "db");
    const db = await connect(uri);
    onTestFinished(() => db.close());
    await makeSampleTable(db, "main");
    const proxy = await faultProxy(server.endpoint, () => undefined);
    const address = server.address(await server.bucket(), "vault", proxy.endpoint);
    const since = counter(proxy.requests);
    const keys = [rawKey(Buffer.alloc(32, 7))];
    await Repository.init(address, { logger, encryption: { keys } });
    const backup = async (cache: string | false) => {
      const repository = await Repository.open(address, { logger, keys, cache });
      return repository.backup({ source: uri });
    };
    await backup(join(directory, "cache"));
    since();
    expect(await backup(join(directory, "cache"))).toMatchObject({ storedBytes: 0 });
    const { total, by } = since();
    // Pages of keys (when it is opened, and under the lease), of leases, and of snapshots; the mark (twice) and a slot.
    expect(by).toMatchObject({ LIST: 4, GET: 3 });
    expect(total).toBeLessThanOrEqual(12);
    await backup(false);
    // One document, or those of the same second.
    expect(since().by["GET"]).toBeGreaterThan(by["GET"] ?? 0);
  });
});
