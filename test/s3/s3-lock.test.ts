import { join } from "node:path";
import {
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
} from "@aws-sdk/client-s3";
import { connect } from "@lancedb/lancedb";
import { Repository } from "lancedb-backup";
import { describe, expect, onTestFinished, test } from "vitest";
import { run, runJson } from "../cli/cli.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { ignoringStore } from "../support/ignoring-store.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const missing = whyNoS3();
if (missing !== undefined) test.skip(`Object Lock (${missing})`, () => undefined);

const DAY_MS = 24 * 60 * 60 * 1000;
const { logger } = recordingLogger();

test("a store that takes the headers of a lock and forgets them is refused", async () => {
  const address = `${await ignoringStore()}&lockMode=GOVERNANCE&lockDays=3`;
  const made = Repository.init(address, { logger, unsafeNoExclusive: true, retry: false });
  await expect(made).rejects.toMatchObject({ message: expect.stringMatching(/lock/) });
});

describe.skipIf(missing !== undefined)("Object Lock", () => {
  const server = useS3Server();

  async function arrange(mode: "GOVERNANCE" | "COMPLIANCE", days = 30) {
    const directory = await newDirectory();
    const uri = join(directory, "db");
    const db = await connect(uri);
    onTestFinished(() => db.close());
    const table = await makeSampleTable(db, "main");
    const bucket = await server.bucket("locked");
    const at = (lockDays: number) =>
      `${server.address(bucket, "vault")}&lockMode=${mode}&lockDays=${lockDays}`;
    // radosgw does not exclude in a locked bucket.
    const repository = await Repository.init(at(days), { logger, unsafeNoExclusive: true });
    const lockOf = async (Key: string) => {
      const command = new GetObjectRetentionCommand({ Bucket: bucket, Key });
      return (await server.client.send(command)).Retention;
    };
    return { directory, uri, db, table, bucket, at, repository, lockOf };
  }

  const daysFromNow = (date: Date | undefined) => ((date?.getTime() ?? 0) - Date.now()) / DAY_MS;

  test("what a snapshot needs is locked, also against who may do all, and nothing else is", async () => {
    const { uri, bucket, repository, lockOf } = await arrange("COMPLIANCE");
    await repository.backup({ source: uri });
    const keys = await server.keys(bucket);
    expect(keys.some((key) => key.includes("/blobs/"))).toBe(true);
    for (const Key of keys) {
      const { Mode, RetainUntilDate } = (await lockOf(Key)) ?? {};
      expect([Key, Mode]).toEqual([Key, "COMPLIANCE"]);
      expect(daysFromNow(RetainUntilDate)).toBeGreaterThan(30);
      expect(daysFromNow(RetainUntilDate)).toBeLessThan(31);
      const { VersionId } = await server.client.send(new HeadObjectCommand({ Bucket: bucket, Key }));
      const removal = new DeleteObjectCommand({ Bucket: bucket, Key, VersionId });
      await expect(server.client.send(removal)).rejects.toMatchObject({ name: "AccessDenied" });
    }
    expect(keys.filter((key) => !/repository\.json|blobs|snapshots/.test(key))).toEqual([]);
  });

  test("a new snapshot has what it takes over locked anew; prune and delete leave alone what is locked, and say so", async () => {
    const { directory, uri, db, table, at, bucket, repository, lockOf } = await arrange("GOVERNANCE", 2);
    await repository.backup({ source: uri, name: "first" });
    const before = await server.keys(bucket);
    await table.add(sampleRows(500, 5));
    const longer = await Repository.open(at(40), { logger });
    await longer.backup({ source: uri });
    for (const key of before) {
      const days = daysFromNow((await lockOf(key))?.RetainUntilDate);
      if (key.includes("/snapshots/")) expect(days).toBeLessThan(3);
      else expect(days).toBeGreaterThan(39);
    }
    await expect(longer.delete("first")).rejects.toMatchObject({
      code: "LOCKED",
      message: expect.stringMatching(/locked until 20/),
    });
    for (const dryRun of [true, false]) {
      const report = await longer.prune({ keepLast: 1, graceHours: 0, dryRun });
      expect(report.removed).toEqual([]);
      expect(report.kept.flatMap(({ reasons }) => reasons).join()).toMatch(/locked until/);
    }
    expect((await longer.verify()).filter(({ ok }) => !ok)).toEqual([]);
    await longer.restore("latest", { target: join(directory, "back") });
    const restored = await connect(join(directory, "back"));
    expect(await snapshotOf(restored)).toEqual(await snapshotOf(db));
    restored.close();
  });

  test("a locked blob that nobody needs waits, and what was hidden can be brought back", async () => {
    const { uri, at, bucket, repository } = await arrange("GOVERNANCE", 2);
    const { id } = await repository.backup({ source: uri });
    // As an intruder with the account's keys would: it hides, and cannot take away.
    const Key = `vault/snapshots/${id}.json`;
    await server.client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
    const env = { LANCEDB_BACKUP_REPO: at(2) };
    const pruned = await runJson<{ freed: unknown; locked: { blobs: number } }>(
      ["prune", "--keep-last", "1", "--grace-hours", "0", "--yes"],
      { env },
    );
    expect(pruned.freed).toEqual({ blobs: 0, bytes: 0 });
    expect(pruned.locked.blobs).toBeGreaterThan(0);
    const dry = await run(["prune", "--keep-last", "1", "--grace-hours", "0", "--dry-run"], { env });
    expect(dry.stdout).toMatch(/cannot be freed yet: the store has them locked/);
    const versions = await server.client.send(
      new ListObjectVersionsCommand({ Bucket: bucket, Prefix: "vault/snapshots/" }),
    );
    const VersionId = versions.DeleteMarkers?.[0]?.VersionId;
    await server.client.send(new DeleteObjectCommand({ Bucket: bucket, Key, VersionId }));
    expect((await repository.list()).map((snapshot) => snapshot.id)).toEqual([id]);
    expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });

  test("a bucket that was not made for it is refused, and left empty", async () => {
    const bucket = await server.bucket();
    const address = `${server.address(bucket, "vault")}&lockMode=GOVERNANCE&lockDays=3`;
    await expect(Repository.init(address, { logger })).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringMatching(/cannot be locked.*when a bucket is made/),
    });
    expect(await server.keys(bucket)).toEqual([]);
  });
});
