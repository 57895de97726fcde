import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Repository } from "lancedb-backup";
import { describe, expect, onTestFinished, test } from "vitest";
import { run, runJson } from "../cli/cli.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { faultProxy, type ProxyFault } from "../support/fault-proxy.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const nightly = process.env["NIGHTLY"] === "1";
const missing = whyNoS3();
if (missing !== undefined) test.skip(`a repository in a bucket (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("a repository in a bucket", () => {
  const server = useS3Server();
  const { logger } = recordingLogger();

  async function arrange() {
    const directory = await newDirectory();
    const uri = join(directory, "db");
    const db = await connect(uri);
    onTestFinished(() => db.close());
    const table = await makeSampleTable(db, "main");
    await makeSampleTable(db, "other", { rows: 10 });
    const bucket = await server.bucket();
    const target = join(directory, "back");
    return {
      uri,
      db,
      table,
      bucket,
      target,
      at: (endpoint?: string) => server.address(bucket, "vault", endpoint),
    };
  }

  test("is made, filled, listed, verified, restored, opened and pruned by the command", async () => {
    const { uri, db, table, target, at } = await arrange();
    const env = { LANCEDB_BACKUP_REPO: at() };
    expect(await run(["init", at(), "--no-encrypt"])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("Made a repository"),
    });
    await runJson(["backup", uri, "--name", "first"], { env });
    const before = await snapshotOf(db);
    await table.add(sampleRows(100, 20));
    await runJson(["backup", uri], { env });
    expect(await runJson<unknown[]>(["list"], { env })).toHaveLength(2);
    expect((await run(["verify", "--restore-test"], { env })).code).toBe(0);
    expect(await run(["doctor", uri], { env })).toMatchObject({ code: 0 });
    expect((await run(["report", "--html", `${target}.html`], { env })).code).toBe(0);
    await runJson(["restore", "first", target], { env });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(before);
    restored.close();
    await runJson(["delete", "first", "--yes"], { env });
    await runJson(["prune", "--grace-hours", "0", "--yes"], { env });
    expect((await run(["verify"], { env })).code).toBe(0);
  });

  test("snapshots are copied from a disk to the bucket by the command, and back to another disk", async () => {
    const { uri, db, table, target, at } = await arrange();
    const [vault, other, cache] = ["vault", "other", "cache"].map((name) => `${target}-${name}`);
    if (!vault || !other || !cache) throw new Error("no place");
    const env = { LANCEDB_BACKUP_REPO: vault, LANCEDB_BACKUP_CACHE: cache };
    for (const place of [vault, other, at()]) await runJson(["init", place, "--no-encrypt"]);
    await runJson(["backup", uri, "--name", "first"], { env });
    await table.add(sampleRows(100, 20));
    await runJson(["backup", uri], { env });
    expect(await runJson(["copy", at()], { env })).toMatchObject({ copied: [{}, {}], failed: [] });
    expect((await run(["verify", "--repo", at()])).code).toBe(0);
    const requests: string[] = [];
    const counting = await faultProxy(
      server.endpoint,
      ({ method, url }) => void requests.push(`${method} ${url}`),
    );
    await runJson(["list", "--repo", at(counting.endpoint)], { env });
    requests.length = 0;
    expect(await runJson(["list", "--repo", at(counting.endpoint)], { env })).toHaveLength(2);
    // The mark is read when a repository is opened; of the snapshots, and of pins and tags, there is a page of a listing each.
    const listed = requests.filter((line) => !line.includes("repository.json"));
    expect(listed.filter((line) => line.includes("list-type=2"))).toEqual(listed);
    expect(listed).toHaveLength(2);
    rmSync(vault, { recursive: true });
    expect(await runJson(["copy", other, "--repo", at()], { env })).toMatchObject({ copied: [{}, {}] });
    await runJson(["restore", "latest", target, "--repo", other]);
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(await snapshotOf(db));
    restored.close();
  });

  test("is the same one by whatever address: with another host's name, another port, or a slash", async () => {
    const { uri, bucket, at } = await arrange();
    const repository = await Repository.init(at(), { logger });
    await repository.backup({ source: uri });
    const { port } = new URL(server.endpoint);
    const other = await faultProxy(server.endpoint, () => undefined);
    for (const address of [
      at(`http://localhost:${port}`),
      at(other.endpoint),
      server.address(bucket, "vault/"),
    ]) {
      const same = await Repository.open(address, { logger });
      expect(same.id).toBe(repository.id);
      await expect(repository.copy(same)).rejects.toMatchObject({
        code: "VALIDATION",
        message: expect.stringContaining("the same repository"),
      });
    }
  });

  test("what is larger than a part goes up in parts, and comes back as it was", async () => {
    const { uri, db, target, at } = await arrange();
    const vector = Array.from({ length: 512 }, Math.random);
    const rows = Array.from({ length: 10_000 }, (_, id) => ({
      id,
      vector: vector.map((value) => value + id),
    }));
    await db.createTable("large", rows); // 20 MB in one file
    const repository = await Repository.init(at(), { logger });
    await repository.backup({ source: uri });
    expect((await repository.verify()).every(({ ok }) => ok)).toBe(true);
    await repository.restore("latest", { target });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(await snapshotOf(db));
    restored.close();
  });

  test.each(["versioned", "locked"] as const)(
    "a %s bucket, where the store makes what is there already, is refused for writing, and left empty",
    async (kind) => {
      const bucket = await server.bucket(kind);
      const made = Repository.init(server.address(bucket), { logger });
      await expect(made).rejects.toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringMatching(/If-None-Match/),
      });
      expect((await server.keys(bucket)).filter((key) => !key.includes(".probe-"))).toEqual([]);
    },
  );

  test("a versioned bucket is written to where somebody has accepted it, which the mark says to who opens it", async () => {
    const { uri, db, target } = await arrange();
    const address = server.address(await server.bucket("versioned"));
    expect(await run(["init", address, "--unsafe-no-exclusive", "--no-encrypt"])).toMatchObject({ code: 0 });
    const { logger: told, logged } = recordingLogger();
    const repository = await Repository.open(address, { logger: told });
    expect(logged.map(({ message }) => message).join()).toMatch(/only one may write at a time/);
    await repository.backup({ source: uri });
    await expect(Repository.init(address, { logger, unsafeNoExclusive: true })).rejects.toMatchObject({
      code: "VALIDATION",
    });
    expect((await repository.verify()).every(({ ok }) => ok)).toBe(true);
    await repository.restore("latest", { target });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(await snapshotOf(db));
    restored.close();
  });

  test.each([
    ["a bucket that is not there", () => server.address("no-such-bucket"), /there is no such bucket/],
    [
      "an endpoint where nobody answers",
      () => server.address("b-x", "", "http://127.0.0.1:9"),
      /nobody answers/,
    ],
    ["an address without TLS", () => `s3://b-x?endpoint=http%3A%2F%2F127.0.0.1`, /has no TLS/],
    ["credentials in an address", () => "s3://key:hidden@b-x/p", /credentials do not belong/],
    ["a parameter that is misspelt", () => "s3://b-x/p?regoin=x", /no parameter regoin/],
    ["a scheme that nobody knows", () => "gs://b-x/p", /No storage is registered for "gs:"/],
  ])("%s is told as what it is, and no secret is", async (_, address, why) => {
    const failed = await Repository.init(address(), { logger }).catch((error: unknown) => error);
    expect(String(failed)).toMatch(why);
    expect(String(failed)).not.toContain("hidden");
    expect(failed).toMatchObject({ code: expect.any(String) });
  });

  test("wrong keys are told as what they are, and the secret is not", async () => {
    const { at } = await arrange();
    const env = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "sesame-open" };
    const { code, stderr } = await run(["init", at(), "--no-encrypt"], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/the secret key is wrong/);
    expect(stderr).not.toContain("sesame-open");
  });

  const FAULTS: readonly ProxyFault[] = ["lost", "unanswered", "cut", "500", "503", "done500", "slow"];

  test("a fault at any one request loses no snapshot, and leaves a repository that verifies and takes the next", async () => {
    const { uri, table, db, target, at } = await arrange();
    const first = await Repository.init(at(), { logger });
    await first.backup({ source: uri, name: "first" });
    const before = await snapshotOf(db);
    let faults = 0;
    for (let at_ = 1, last = Number.POSITIVE_INFINITY; at_ <= last; at_ += nightly ? 1 : 5) {
      const fault = FAULTS[faults++ % FAULTS.length];
      await table.add(sampleRows(1000 + at_, 1));
      const proxy = await faultProxy(server.endpoint, ({ number }) => (number === at_ ? fault : undefined));
      const work = async () => {
        const repository = await Repository.open(at(proxy.endpoint), { logger });
        const { id } = await repository.backup({ source: uri });
        await repository.prune({ keepLast: 3, keepTags: ["none"], graceHours: 0 });
        return id;
      };
      // A client's own tries hide most faults; what comes out is an error of ours.
      const outcome = await work().catch((error: unknown) => error);
      if (typeof outcome !== "string") expect(outcome).toMatchObject({ code: expect.any(String) });
      else last = proxy.requests.length;
      expect((await first.verify()).filter(({ ok }) => !ok)).toEqual([]);
      if (typeof outcome === "string") expect((await first.get(outcome)).id).toBe(outcome);
    }
    expect(faults).toBeGreaterThan(nightly ? 20 : 4);
    await first.backup({ source: uri, name: "last" });
    await first.restore("last", { target });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(await snapshotOf(db));
    restored.close();
    expect(Object.keys(before)).toContain("main");
  });

  test("a process that is killed at any request loses no snapshot", async () => {
    const { uri, table, at } = await arrange();
    const repository = await Repository.init(at(), { logger });
    await repository.backup({ source: uri, name: "first", tags: ["keep"] });
    for (let kills = 0, step = 3; kills < (nightly ? 40 : 4); kills++, step += nightly ? 1 : 6) {
      await table.add(sampleRows(2000 + kills, 1));
      const child: { kill?: () => void } = {};
      const proxy = await faultProxy(server.endpoint, ({ number }) => {
        if (number === step) child.kill?.();
        return undefined;
      });
      await killed(["backup", uri, "--repo", at(proxy.endpoint)], child);
      expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
      expect((await repository.get("first")).tags).toEqual(["keep"]);
    }
    await repository.backup({ source: uri });
    await repository.prune({ keepLast: 1, keepTags: ["keep"], graceHours: 0 });
    expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });
});

async function killed(args: readonly string[], child: { kill?: () => void }): Promise<void> {
  const main = join(import.meta.dirname, "../../dist/cli/main.js");
  const process_ = spawn(process.execPath, [main, ...args], { stdio: "ignore" });
  child.kill = () => process_.kill("SIGKILL");
  await once(process_, "exit");
}
