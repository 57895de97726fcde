import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Repository } from "lancedb-backup";
import { describe, expect, onTestFinished, test } from "vitest";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { useProfiles } from "../support/profiles.ts";
import { type Statement, useS3Server, whyNoS3 } from "../support/s3-server.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const GUIDE = join(import.meta.dirname, "../../docs/s3.md");

/** The policy for an account that writes alone, as docs/s3.md has it. */
function policyOf(guide: string): Omit<Statement, "account">[] {
  const [, json = ""] = /```json\n(\{\s*"Version"[\s\S]*?)```/.exec(guide) ?? [];
  const { Statement } = JSON.parse(json) as {
    Statement: Record<"Effect" | "Action" | "Resource", unknown>[];
  };
  return Statement.map(({ Effect, Action, Resource }) => {
    const on = [Resource]
      .flat()
      .map((resource) => String(resource).replace(/^arn:aws:s3:::my-bucket\/?/, ""));
    return {
      effect: Effect === "Allow" ? "Allow" : "Deny",
      actions: [Action].flat().map(String),
      ...(on.some((one) => one !== "") && { on }),
    };
  });
}

const missing = whyNoS3();
if (missing !== undefined) test.skip(`permissions in a bucket (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("permissions in a bucket", () => {
  const server = useS3Server();
  const { logger } = recordingLogger();
  let accounts = 0;

  /** A repository of the owner's with a snapshot, and its address for another account. */
  async function arrange() {
    const directory = await newDirectory();
    const uri = join(directory, "db");
    const db = await connect(uri);
    onTestFinished(() => db.close());
    const table = await makeSampleTable(db, "main");
    const bucket = await server.bucket();
    const owner = await Repository.init(server.address(bucket, "vault"), { logger });
    await owner.backup({ source: uri, name: "first" });
    const account = await server.account(`a${accounts++}`);
    await useProfiles({ other: account });
    const address = `${server.address(bucket, "vault")}&profile=other`;
    const say = (...statements: Omit<Statement, "account">[]) =>
      server.policy(
        bucket,
        statements.map((statement) => ({ ...statement, account })),
      );
    return { directory, uri, db, table, bucket, owner, address, say };
  }

  test("an account that may write alone backs up, and can neither read data nor take anything away", async () => {
    const { directory, uri, db, table, bucket, owner, address, say } = await arrange();
    const documented = policyOf(readFileSync(GUIDE, "utf8"));
    await say(...documented);
    await table.add(sampleRows(500, 20));
    const writer = await Repository.open(address, { logger, cache: false, audit: "all" });
    const { id } = await writer.backup({ source: uri });
    await writer.backup({ source: uri });
    const target = join(directory, "by-writer");
    const refused = { code: "IO", errno: "EACCES" };
    const needs = (permission: string) => ({ ...refused, message: expect.stringContaining(permission) });
    await expect(writer.restore(id, { target })).rejects.toMatchObject(needs("s3:GetObject"));
    await expect(writer.delete("first")).rejects.toMatchObject(needs("s3:DeleteObject"));
    const prune = writer.prune({ keepLast: 1, graceHours: 0 });
    await expect(prune).rejects.toMatchObject(needs("s3:DeleteObject"));
    const recorded = (await owner.audit()).filter(({ outcome }) => outcome === "success");
    expect(recorded.filter(({ details }) => details["snapshot"] === id)).toMatchObject([
      { operation: "backup" },
    ]);
    expect(await owner.verifyAudit()).toMatchObject({ ok: true });
    const keys = await server.keys(bucket);
    expect(keys.filter((key) => /leases|probe/.test(key))).toEqual([]);
    expect((await owner.verify()).filter(({ ok }) => !ok)).toEqual([]);
    await owner.restore(id, { target: join(directory, "by-owner") });
    const restored = await connect(join(directory, "by-owner"));
    expect(await snapshotOf(restored)).toEqual(await snapshotOf(db));
    restored.close();
  });

  const WORK: Readonly<
    Record<string, (repository: Repository, uri: string, target: string) => Promise<unknown>>
  > = {
    backup: (repository, uri) => repository.backup({ source: uri }),
    restore: (repository, _, target) => repository.restore("first", { target }),
    verify: async (repository) => {
      const failed = (await repository.verify()).find(({ ok }) => !ok);
      if (failed) throw failed.error;
    },
    prune: (repository) => repository.prune({ keepLast: 1, graceHours: 0 }),
    delete: (repository) => repository.delete("first"),
    list: (repository) => repository.list(),
  };

  const DENIED = [
    ["s3:PutObject", "vault/*", ["backup", "prune"]],
    ["s3:GetObject", "vault/*", ["backup", "restore", "verify", "prune", "delete", "list"]],
    ["s3:GetObject", "vault/snapshots/*", ["backup", "restore", "prune", "list"]],
    ["s3:GetObject", "vault/blobs/*", ["restore", "verify"]],
    ["s3:ListBucket", undefined, ["backup", "restore", "verify", "prune", "delete", "list"]],
    ["s3:DeleteObject", "vault/snapshots/*", ["prune", "delete"]],
  ] as const;

  test("without a permission, work that needs it says which one, and nothing is lost", async () => {
    const { directory, uri, bucket, table, owner, address, say } = await arrange();
    await table.add(sampleRows(500, 20));
    await owner.backup({ source: uri });
    await table.add(sampleRows(600, 20));
    const before = (await server.keys(bucket)).sort();
    for (const [action, on, refused] of DENIED) {
      await say({ effect: "Deny", actions: [action], ...(on !== undefined && { on: [on] }) });
      for (const name of refused) {
        const work = async () => {
          const repository = await Repository.open(address, { logger, cache: false });
          await WORK[name]?.(repository, uri, join(directory, `target-${name}`));
        };
        await expect(work(), `${name} without ${action} on ${on}`).rejects.toMatchObject({
          code: "IO",
          errno: "EACCES",
          message: expect.stringContaining(action),
        });
      }
      const after = await server.keys(bucket);
      expect(before.filter((key) => !after.includes(key))).toEqual([]);
    }
    expect((await owner.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });
});
