import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Repository } from "lancedb-backup";
import { describe, expect, onTestFinished, test } from "vitest";
import { nightly, spread } from "../crash/workshop.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { faultProxy, type ProxyFault } from "../support/fault-proxy.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const missing = whyNoS3();
if (missing !== undefined) test.skip(`faults on the way to a bucket (${missing})`, () => undefined);

const FAULTS: readonly ProxyFault[] = [
  "lost",
  "unanswered",
  "cut",
  "500",
  "503",
  "done500",
  "slow",
  "short",
  "long",
  "200",
];

/** Requests of one piece of work at which something happens; every one in the nightly run. */
const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 5;
const KILLS = nightly ? Number.POSITIVE_INFINITY : 2;

describe.skipIf(missing !== undefined)("faults on the way to a bucket", () => {
  const server = useS3Server();
  const { logger } = recordingLogger();

  /** The keys of a bucket, but for those of the audit log, which grows by all that is done. */
  const kept = async (bucket: string) =>
    (await server.keys(bucket)).filter((key) => !key.includes("/audit/")).sort();

  /** A repository in a bucket with two snapshots. */
  async function arrange() {
    const directory = await newDirectory();
    const uri = join(directory, "db");
    const db = await connect(uri);
    onTestFinished(() => db.close());
    const table = await makeSampleTable(db, "main");
    const bucket = await server.bucket();
    const repository = await Repository.init(server.address(bucket, "vault"), { logger });
    await repository.backup({ source: uri, name: "first" });
    await table.add(sampleRows(100, 20));
    await repository.backup({ source: uri, name: "second" });
    return { directory, db, bucket, repository, held: await snapshotOf(db) };
  }

  /** Does the work through a proxy with a fault at one request, and without one to count the requests. */
  async function withFault<T>(
    work: (endpoint: string) => Promise<T>,
    at = 0,
    fault: ProxyFault = "slow",
  ): Promise<{ outcome: T | unknown; requests: number }> {
    const proxy = await faultProxy(server.endpoint, ({ number }) => (number === at ? fault : undefined));
    const outcome = await work(proxy.endpoint).catch((error: unknown) => error);
    return { outcome, requests: proxy.requests.length };
  }

  /** @param from which kinds come first: all of them by two pieces of work. */
  const faultsAt = (requests: number, from: 0 | 1) =>
    spread(requests - 1, SAMPLE).flatMap((at, index) => {
      const turn = FAULTS[(index * 2 + from) % FAULTS.length] ?? "lost";
      return (nightly ? FAULTS : [turn]).map((fault) => [at + 1, fault] as const);
    });

  async function sound(...repositories: readonly Repository[]): Promise<void> {
    for (const repository of repositories)
      expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  }

  test("a restore with a fault at any request brings all, or leaves nothing and says why", async () => {
    const { directory, bucket, repository, held } = await arrange();
    const target = join(directory, "back");
    const restore = async (endpoint: string) => {
      const opened = await Repository.open(server.address(bucket, "vault", endpoint), {
        logger,
        cache: false,
      });
      return opened.restore("latest", { target });
    };
    const { requests } = await withFault(restore);
    for (const [at, fault] of faultsAt(requests, 0)) {
      rmSync(target, { recursive: true, force: true });
      const { outcome } = await withFault(restore, at, fault);
      if (outcome instanceof Error) {
        expect(outcome).toMatchObject({ code: expect.any(String) });
        expect(existsSync(target)).toBe(false);
        continue;
      }
      const restored = await connect(target);
      expect(await snapshotOf(restored), `${fault} at ${at}`).toEqual(held);
      restored.close();
    }
    await sound(repository);
  });

  test("a verification with a fault at any request changes nothing, and answers", async () => {
    const { bucket, repository } = await arrange();
    const before = await kept(bucket);
    const verify = async (endpoint: string) => {
      const opened = await Repository.open(server.address(bucket, "vault", endpoint), {
        logger,
        cache: false,
      });
      return opened.verify();
    };
    const { requests } = await withFault(verify);
    for (const [at, fault] of faultsAt(requests, 1)) {
      const { outcome } = await withFault(verify, at, fault);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: expect.any(String) });
      else expect(outcome).not.toEqual([]);
      expect(await kept(bucket)).toEqual(before);
    }
    await sound(repository);
  });

  test("a copy with a fault at any request leaves whole snapshots in both, and the next one finishes it", async () => {
    const { bucket, repository } = await arrange();
    const before = await kept(bucket);
    const copyTo = async (other: string, endpoint: string) => {
      const open = (name: string) =>
        Repository.open(server.address(name, "vault", endpoint), { logger, cache: false });
      return (await open(bucket)).copy(await open(other));
    };
    const emptyOne = async () => {
      const other = await server.bucket();
      const compression = { algorithm: "zstd", level: 1 } as const;
      const made = await Repository.init(server.address(other, "vault"), { logger, compression });
      return { other, made };
    };
    const first = await emptyOne();
    const { requests } = await withFault((endpoint) => copyTo(first.other, endpoint));
    for (const [at, fault] of faultsAt(requests, 0)) {
      const { other, made } = await emptyOne();
      const { outcome } = await withFault((endpoint) => copyTo(other, endpoint), at, fault);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: expect.any(String) });
      await sound(made);
      const { copied, present, failed } = await copyTo(other, server.endpoint);
      expect([copied.length + present.length, failed], `${fault} at ${at}`).toEqual([2, []]);
      await sound(made);
      expect(await kept(bucket)).toEqual(before);
    }
    await sound(repository);
  });

  test("a process that is killed while it copies leaves both whole, and the next run finishes", async () => {
    const { directory, bucket, repository, held } = await arrange();
    const copy = (other: string, endpoint: string) => {
      const main = join(import.meta.dirname, "../../dist/cli/main.js");
      const [from, to] = [bucket, other].map((name) => server.address(name, "vault", endpoint));
      return spawn(process.execPath, [main, "copy", to ?? "", "--repo", from ?? ""], { stdio: "ignore" });
    };
    const newOne = async () => {
      const other = await server.bucket();
      return { other, made: await Repository.init(server.address(other, "vault"), { logger }) };
    };
    const whole = await newOne();
    const counting = await faultProxy(server.endpoint, () => undefined);
    expect(await once(copy(whole.other, counting.endpoint), "exit")).toEqual([0, null]);
    for (const at of spread(counting.requests.length - 1, KILLS + 2).slice(1, -1)) {
      const { other, made } = await newOne();
      const running: { kill?: () => void } = {};
      const proxy = await faultProxy(server.endpoint, ({ number }) => {
        if (number === at + 1) running.kill?.();
        return undefined;
      });
      const child = copy(other, proxy.endpoint);
      running.kill = () => child.kill("SIGKILL");
      await once(child, "exit");
      await sound(made);
      expect(await once(copy(other, server.endpoint), "exit")).toEqual([0, null]);
      await sound(made);
      expect((await made.list()).length).toBe(2);
    }
    await sound(repository);
    const target = join(directory, "back");
    await whole.made.restore("latest", { target });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(held);
    restored.close();
  });
});
