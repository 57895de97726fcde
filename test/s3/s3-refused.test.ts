import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DeleteObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { connect } from "@lancedb/lancedb";
import { Repository, rawKey } from "lancedb-backup";
import { describe, expect, onTestFinished, test } from "vitest";
import { openStorage } from "../../src/storage/open-storage.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { type Answer, errorAnswer, faultProxy, type Passed } from "../support/fault-proxy.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";

const missing = whyNoS3();
if (missing !== undefined)
  test.skip(`what a bucket refuses, and what is refused of it (${missing})`, () => undefined);

const isList = ({ url }: Passed) => /[?&]list-type=2/.test(url);

describe.skipIf(missing !== undefined)("what a bucket refuses, and what is refused of it", () => {
  const server = useS3Server();
  const { logger } = recordingLogger();

  async function arrange() {
    const directory = await newDirectory();
    const uri = join(directory, "db");
    const db = await connect(uri);
    onTestFinished(() => db.close());
    const table = await makeSampleTable(db, "main");
    const bucket = await server.bucket();
    const owner = await Repository.init(server.address(bucket, "vault"), { logger });
    await owner.backup({ source: uri, name: "first" });
    const through = async (plan: (passed: Passed) => Answer | undefined) =>
      server.address(bucket, "vault", (await faultProxy(server.endpoint, plan)).endpoint);
    return { directory, uri, table, bucket, owner, through };
  }

  test.each([
    [
      "another region by a redirection",
      errorAnswer(301, "PermanentRedirect", { "x-amz-bucket-region": "eu-west-3" }),
      /another region.*region=eu-west-3/,
    ],
    ["another region by the signature", errorAnswer(400, "AuthorizationHeaderMalformed"), /another region/],
    ["credentials that have expired", errorAnswer(400, "ExpiredToken"), /credentials have expired/],
    [
      "credentials that are not known",
      errorAnswer(403, "InvalidAccessKeyId"),
      /does not know this access key/,
    ],
    ["a page of HTML", { status: 403, body: "<html>Forbidden</html>" }, /refuses access/],
    [
      "a success that is an error's",
      errorAnswer(200, "InternalError"),
      /cannot be read|has no|store failed|not available/,
    ],
  ] as const)("%s: every call says so, and nothing is written or lost", async (_, answer, why) => {
    const { directory, uri, bucket, owner, through } = await arrange();
    const before = (await server.keys(bucket)).sort();
    let isOn = false;
    const address = await through(() => (isOn ? answer : undefined));
    const repository = await Repository.open(address, { logger, cache: false });
    isOn = true;
    const work = [
      () => Repository.open(address, { logger }),
      () => repository.list(),
      () => repository.backup({ source: uri }),
      () => repository.restore("first", { target: join(directory, "back") }),
      () => repository.prune({ keepLast: 1, graceHours: 0 }),
      () => repository.delete("first"),
    ];
    for (const call of work) {
      await expect(call(), String(call)).rejects.toMatchObject({
        code: "IO",
        message: expect.stringMatching(why),
      });
    }
    expect((await server.keys(bucket)).sort()).toEqual(before);
    expect((await owner.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });

  test("a clock that differs from the store's by an hour does no harm", async () => {
    const { directory, uri, table, bucket, owner } = await arrange();
    await table.add(sampleRows(500, 20));
    const preload = join(import.meta.dirname, "../support/other-machine.mjs");
    const main = join(import.meta.dirname, "../../dist/cli/main.js");
    for (const [hours, ...args] of [
      [1, "backup", uri, "--name", "ahead"],
      [-1, "prune", "--keep-last", "3", "--grace-hours", "0", "--yes"],
      [-1, "restore", "ahead", join(directory, "back")],
    ] as const) {
      const env = {
        ...process.env,
        OTHER_CLOCK_MS: String(hours * 3_600_000),
        LANCEDB_BACKUP_REPO: server.address(bucket, "vault"),
      };
      const child = spawn(process.execPath, ["--import", preload, main, ...args], {
        env,
        stdio: ["ignore", "ignore", "pipe"],
      });
      const told: Buffer[] = [];
      child.stderr.on("data", (piece: Buffer) => told.push(piece));
      const [code] = await once(child, "close");
      expect([args[0], code, code === 0 ? "" : Buffer.concat(told).toString()]).toEqual([args[0], 0, ""]);
    }
    expect((await owner.verify()).filter(({ ok }) => !ok)).toEqual([]);
    expect((await owner.list()).length).toBe(2);
  });

  test("the mark of another repository in its place stops whoever had opened it", async () => {
    const { uri, bucket } = await arrange();
    const other = await server.bucket();
    await Repository.init(server.address(other, "vault"), { logger });
    const opened = await Repository.open(server.address(bucket, "vault"), { logger });
    const storage = await openStorage(server.address(other, "vault"));
    const pieces: Uint8Array[] = [];
    for await (const piece of storage.read("repository.json")) pieces.push(piece);
    const Key = "vault/repository.json";
    await server.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Buffer.concat(pieces) }));
    const before = (await server.keys(bucket)).sort();
    await expect(opened.backup({ source: uri })).rejects.toThrow(/is no longer the repository/);
    await expect(opened.prune({ keepLast: 1 })).rejects.toThrow(/is no longer the repository/);
    expect((await server.keys(bucket)).sort()).toEqual(before);
  });

  test("another encrypted repository in its place stops whoever had opened it", async () => {
    const { uri } = await arrange();
    const bucket = await server.bucket();
    const keys = [rawKey(Buffer.alloc(32, 3))];
    const address = server.address(bucket, "vault");
    const opened = await Repository.init(address, { logger, encryption: { keys } });
    for (const Key of await server.keys(bucket))
      await server.client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
    await expect(opened.backup({ source: uri })).rejects.toThrow(/is no longer the repository/);
    expect(await server.keys(bucket)).toEqual([]);
    await Repository.init(address, { logger, encryption: { keys } });
    const before = (await server.keys(bucket)).sort();
    await expect(opened.backup({ source: uri })).rejects.toThrow(/is no longer the repository/);
    await expect(opened.prune({ keepLast: 1 })).rejects.toThrow(/is no longer the repository/);
    expect((await server.keys(bucket)).sort()).toEqual(before);
  });

  const page = (keys: readonly string[], token: string | undefined) => ({
    status: 200,
    headers: { "content-type": "application/xml" },
    body: `<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>${keys.length}</KeyCount><IsTruncated>${token !== undefined}</IsTruncated>${
      token === undefined ? "" : `<NextContinuationToken>${token}</NextContinuationToken>`
    }${keys.map((key) => `<Contents><Key>${key}</Key><Size>3</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`).join("")}</ListBucketResult>`,
  });
  let number = 0;
  const tokenOf = ({ url }: Passed) => /continuation-token=([a-z0-9]+)/.exec(url)?.[1];

  test.each([
    ["with a token that comes again", () => page(["vault/a"], "again"), /repeats itself/],
    [
      "whose tokens go round",
      (passed: Passed) => page([], tokenOf(passed) === "a" ? "b" : "a"),
      /repeats itself/,
    ],
    [
      "whose pages come again",
      () => page(["vault/snapshots/x", "vault/y"], `t${++number}`),
      /repeats itself/,
    ],
    ["that says there is more, and not where", () => page(["vault/a"], ""), /not where/],
    [
      "of a name of a megabyte",
      () => page(["vault/a", `vault/${"x".repeat(1 << 20)}`], undefined),
      /longer than/,
    ],
    [
      "without an end or a beginning",
      () => ({ status: 200, body: "<ListBucketResult/>" }),
      /cannot be read|has no/,
    ],
    ["that is no XML", () => ({ status: 200, body: "hello" }), /cannot be read|has no/],
  ] as const)("a listing %s is refused", async (_, answer, why) => {
    const { endpoint } = await faultProxy(server.endpoint, (passed) =>
      isList(passed) ? answer(passed) : undefined,
    );
    const storage = await openStorage(server.address("b-any", "vault", endpoint));
    const list = async () => {
      for await (const { name } of storage.list("")) expect(name.length).toBeLessThan(1100);
    };
    await expect(list()).rejects.toMatchObject({ code: "IO", message: expect.stringMatching(why) });
  });

  test("names that no object of a repository has are passed over, however long S3 allows them", async () => {
    const bucket = await server.bucket();
    const storage = await openStorage(server.address(bucket, "vault"));
    await storage.write("blobs/a", Buffer.from("1"));
    for (const Key of ["vault/../up", "vault/ä", "vault/.hidden", `vault/${"x".repeat(1018)}`, "vault/a//b"])
      await server.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Buffer.from("1") }));
    const names: string[] = [];
    for await (const { name } of storage.list("")) names.push(name);
    expect(names).toEqual(["blobs/a"]);
    const long = await openStorage(server.address(bucket, "p".repeat(200)));
    await expect(long.write("x".repeat(900), Buffer.from("1"))).rejects.toMatchObject({ code: "VALIDATION" });
  });
});
